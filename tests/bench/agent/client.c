/* The yardstick for the agent's rate: the same attempts, made by a small epoll client in C.
 *
 * usage: client tcp|udp ADDRESS FIRST_PORT PORTS ATTEMPTS WINDOW IDENTITY
 * Its questions come ready made over standard input, so that it has no tags to compute, and it leaves those of the answers unchecked.
 * Prints attempts a second; fails when an attempt brings back anything but an answer to its question by IDENTITY.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 65536, EVENTS = 256, LENGTH = 120, NONCE = 16 };

static int number_of[MOST], unsent[MOST];

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc != 8)
		return 2;
	int udp = !strcmp(argv[1], "udp");
	int first = atoi(argv[3]), ports = atoi(argv[4]), attempts = atoi(argv[5]), window = atoi(argv[6]);
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct linger abortive = {1, 0};
	struct epoll_event event, events[EVENTS];
	char buffer[1024], wanted[1024], *questions = malloc((size_t)attempts * LENGTH);
	if (!questions || fread(questions, LENGTH, attempts, stdin) != (size_t)attempts)
		fail("questions");
	int epoll = epoll_create1(0), started = 0, done = 0, flying = 0;
	inet_pton(AF_INET, argv[2], &to.sin_addr);
	double began = now();
	while (done < attempts) {
		while (started < attempts && flying < window) {
			int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
			if (fd < 0 || fd >= MOST)
				fail("socket");
			if (!udp)
				setsockopt(fd, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
			to.sin_port = htons(first + started % ports);
			if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
				fail("connect");
			unsent[fd] = send(fd, questions + (size_t)started * LENGTH, LENGTH, 0) != LENGTH;
			number_of[fd] = started++;
			event.events = EPOLLIN | EPOLLET | (unsent[fd] ? EPOLLOUT : 0);
			event.data.fd = fd;
			if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
				fail("epoll_ctl");
			flying++;
		}
		int count = epoll_wait(epoll, events, EVENTS, 5000);
		if (count <= 0)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			const char *question = questions + (size_t)number_of[fd] * LENGTH;
			if (unsent[fd]) {
				if (send(fd, question, LENGTH, 0) != LENGTH)
					fail("send");
				unsent[fd] = 0;
				if (!(events[i].events & EPOLLIN))
					continue;
			}
			int wants = sprintf(wanted, "audit! %.*s %s ", NONCE, question + 7, argv[7]);
			int got = recv(fd, buffer, sizeof buffer, 0);
			if (got < 0 && errno == EAGAIN)
				continue;
			if (got <= wants || memcmp(buffer, wanted, wants))
				fail("token");
			close(fd);
			done++;
			flying--;
		}
	}
	printf("%.0f\n", attempts / (now() - began));
	return 0;
}

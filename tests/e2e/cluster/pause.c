/* The sandbox process of every pod: it holds the pod's namespaces open and reaps what is orphaned in them.
   Built here because the usual image comes from a registry. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void finish(int signal_number) {
    (void)signal_number;
    _exit(0);
}

static void reap(int signal_number) {
    (void)signal_number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

int main(void) {
    signal(SIGINT, finish);
    signal(SIGTERM, finish);
    signal(SIGCHLD, reap);
    for (;;)
        pause();
}

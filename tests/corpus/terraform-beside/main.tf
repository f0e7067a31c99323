resource "kubernetes_network_policy" "db" {
}

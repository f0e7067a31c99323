local k = import "lib/k.libsonnet"; [k.pod]

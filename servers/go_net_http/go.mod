module wrklab/go_net_http

go 1.27

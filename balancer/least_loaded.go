package balancer

import (
	"github.com/valyala/fasthttp"

	"l7/exchange"
)

// leastLoaded asks the server with the fewest requests in flight, and among equals the one that was asked least.
func leastLoaded(servers []*exchange.Server) policy {
	lb := &fasthttp.LBClient{
		// The library's penalty for a failed request is a load that nothing caused; health is not load.
		HealthCheck: func(*fasthttp.Request, *fasthttp.Response, error) bool { return true },
	}
	for _, s := range servers {
		lb.Clients = append(lb.Clients, s)
	}
	return lb
}

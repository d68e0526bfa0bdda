package exchange

import "github.com/pires/go-proxyproto"

// announcement is the PROXY header that tells a server of a client's connection (haproxy.org, proxy-protocol.txt section 2); client nil: that
// there is none. Version 0 is no header.
func announcement(version byte, client Client) []byte {
	if version == 0 {
		return nil
	}
	header := proxyproto.HeaderProxyFromAddrs(version, nil, nil)
	if client != nil {
		source, target := client.Ends()
		header = proxyproto.HeaderProxyFromAddrs(version, source, target)
	}
	text, err := header.Format()
	if err != nil {
		text, _ = proxyproto.HeaderProxyFromAddrs(version, nil, nil).Format() // addresses that it has no room for; these it has
	}
	return text
}

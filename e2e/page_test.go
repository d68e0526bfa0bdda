package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/page/pagetest"
)

// statusPage is an l7 with two servers under load until the test ends, and where its status page is.
func statusPage(t *testing.T, admin string) (l *l7, servers []*upstream, url string) {
	t.Helper()
	servers = startUpstreams(t, 2)
	l = startFile(t, pageConfig(admin, servers)...)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		repeat(l.client, "http://example.com/", stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	return l, servers, l.awaitLog("admin listening", 1).field("address")
}

func pageConfig(admin string, servers []*upstream) []string {
	return []string{
		listenAnywhere, "admin: {listen: '127.0.0.1:0', socket: 'off'" + admin + "}", "backends:",
		"  example.com: {servers: [" + servers[0].address + ", " + servers[1].address + "]}",
		"  idle.example.com: {servers: [" + servers[1].address + "]}",
	}
}

// buttonOf is the drain button of a server of example.com.
func buttonOf(u *upstream) string {
	return `[...document.querySelectorAll(".drain")].find((b) => b.textContent.includes("` + u.address + ` of example.com"))`
}

func TestStatusPage(t *testing.T) {
	t.Parallel()
	l, servers, address := statusPage(t, ", users: {ops: "+secret+"-ops}")
	tab := pagetest.Open(t)
	tab.Size(1400, 1000)
	tab.Load("http://ops:" + secret + "-ops@" + address + "/")
	tab.AwaitText("#state", "serving")
	tab.AwaitText("#version", version)
	tab.AwaitText("#config-file", l.file)
	tab.Await("the figures move", `parseFloat(document.getElementById("total-rate").textContent) > 0`)
	tab.Await("the charts have a past", `/now [1-9]/.test(document.getElementById("plot-rate").ariaLabel)`)

	drain(tab, servers[0], "Undrain")
	tab.AwaitText("#events-list", "draining")
	l.client.get("http://example.com/").from("b")
	drain(tab, servers[0], "Drain")

	explain(tab, servers)
	refuse(tab, l, servers)
	tab.Quiet("422")
}

// drain presses the button of a server and says yes, until the button has the other name.
func drain(tab *pagetest.Tab, u *upstream, then string) {
	tab.Await("the button is there", buttonOf(u))
	pagetest.Eval[bool](tab, buttonOf(u)+".focus(), true")
	tab.Press(kb.Enter)
	tab.Await("the page asks", `dialog.open && document.activeElement.id === "dialog-confirm"`)
	tab.Press(kb.Enter)
	tab.Await("the server is as it was asked for", "!dialog.open && "+buttonOf(u)+`.textContent.startsWith("`+then+`")`)
}

func explain(tab *pagetest.Tab, servers []*upstream) {
	tab.Type("#explain-url", "http://example.com/a?b=c")
	tab.Type("#explain-fields", "Cookie: a=b\nConnection: close")
	tab.Click("#explain button")
	tab.AwaitText("#explain-result", "Passed on to backend example.com.")
	for _, want := range []string{servers[0].address, servers[1].address, "X-Forwarded-For", "response_header", "none wanted"} {
		tab.AwaitText("#explain-result", want)
	}
	pagetest.Eval[bool](tab, `document.getElementById("explain-url").value = "http://nowhere.com/", true`)
	tab.Click("#explain button")
	tab.AwaitText("#explain-result", "l7 answers with 404 itself")
}

// refuse reloads a config with a mistake, and then one without.
func refuse(tab *pagetest.Tab, l *l7, servers []*upstream) {
	press := func(want string) {
		tab.Click("#reload")
		tab.Click("#dialog-confirm")
		tab.AwaitText("#dialog-title", want)
	}
	lines := pageConfig(", users: {ops: "+secret+"-ops}", servers)
	l.rewrite(append(lines, "nonsense: 1")...)
	press("The reload was refused")
	tab.AwaitText("#dialog-body", "nonsense: unknown key")
	tab.Press(kb.Escape)
	tab.AwaitText("#refused", "was refused")

	l.rewrite(append(lines, "timeouts: {connect: 1s}")...)
	press("Reloaded")
	tab.AwaitText("#dialog-body", "timeouts")
	tab.Press(kb.Escape)
	tab.Await("the notice is gone", `document.getElementById("refused").hidden`)
	tab.Click("#config-show")
	tab.AwaitText("#config-text", "connect: 1s")
	tab.AwaitText("#config-text", "# "+l.file)
	require.False(l.t, showsSecret(pagetest.Eval[string](tab, "document.documentElement.outerHTML")), "a secret is shown")
}

func TestStatusPageWithoutLoginMayOnlyLook(t *testing.T) {
	t.Parallel()
	_, servers, address := statusPage(t, "")
	tab := pagetest.Open(t)
	tab.Size(360, 740)
	tab.Load("http://" + address + "/")
	tab.AwaitText("#state", "serving")
	tab.Await("the button is there, and off", buttonOf(servers[0])+`?.ariaDisabled === "true"`)
	pagetest.Eval[bool](tab, buttonOf(servers[0])+".click(), true")
	tab.AwaitText("#dialog", "admin.users")
	assert.True(t, pagetest.Eval[bool](tab, `document.getElementById("dialog-confirm").hidden`))
	assert.LessOrEqual(t, pagetest.Eval[float64](tab, "document.documentElement.scrollWidth"), 360.0)
	tab.Quiet()
}

func TestStatusPageFollowsARestart(t *testing.T) {
	t.Parallel()
	servers := startUpstreams(t, 2)
	port := freePort(t)
	lines := strings.ReplaceAll(text(pageConfig("", servers)...), "'127.0.0.1:0', socket", "'127.0.0.1:"+port+"', socket")
	l := run{config: lines}.start(t)
	l.awaitLog("admin listening", 1)
	tab := pagetest.Open(t)
	tab.Load("http://127.0.0.1:" + port + "/")
	tab.AwaitText("#state", "serving")
	pid := pagetest.Eval[string](tab, `document.getElementById("pid").textContent`)
	l.kill()
	tab.AwaitText("#lost", "Connection lost")
	run{config: lines}.start(t)
	tab.Await("the new process is shown", `document.getElementById("lost").hidden && document.getElementById("pid").textContent !== "`+pid+`"`)
	tab.AwaitText("#state", "serving")
	tab.Quiet("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET")
}

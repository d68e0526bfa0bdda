package page_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"l7/admin/api"
	"l7/admin/page/pagetest"
)

// open shows the page of a fake in a window of this size.
func open(t *testing.T, f *fake, width, height int64) *pagetest.Tab {
	t.Helper()
	tab := pagetest.Open(t)
	tab.Size(width, height)
	tab.Load(f.URL)
	tab.AwaitText("#state", f.status.State)
	return tab
}

func number(b *pagetest.Tab, script string) int {
	return int(pagetest.Eval[float64](b, script))
}

func TestPageShowsTheProcess(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	f.set(func() { f.events = typicalEvents() })
	tab := open(t, f, 1400, 1000)
	tab.AwaitText(".top", "v1.0.0")
	tab.AwaitText(".top", "/etc/l7/l7.yml")
	tab.AwaitText(".top", "3 d 4 h")
	tab.AwaitText(".tiles", "873")
	tab.AwaitText("#counts", "connect_refused")
	tab.AwaitText(".servers", "connect: connection refused, 3 times in a row")
	tab.AwaitText("#events-list li:first-child", "drained by command")
	tab.AwaitText("#last-reload", "timeouts.response: 30s -> 20s")
	assert.Equal(t, 8, number(tab, `document.querySelectorAll("#events-list li").length`), "no event is shown twice")
	assert.Positive(t, number(tab, `document.querySelectorAll(".plot canvas").length`))

	f.set(func() { f.status.Total.Rate = 1234.5 })
	tab.AwaitText("#total-rate", "1,235")
	f.set(func() {
		f.events = append(f.events, api.Event{ID: 9, Time: time.Now(), Kind: "server", State: "healthy", Reason: "again"})
	})
	tab.AwaitText("#events-list li:first-child", "again")
	tab.Await("it is said aloud", `announcer.textContent.includes("healthy again")`)
	tab.Quiet()
}

func TestPageOfOneBackend(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	f.set(func() { f.events = typicalEvents() })
	tab := open(t, f, 1400, 1000)
	choose := func(id, value string) {
		pagetest.Eval[bool](tab, fmt.Sprintf(`%[1]s.value = %[2]q, %[1]s.dispatchEvent(new Event("change"))`, "document.getElementById("+fmt.Sprintf("%q", id)+")", value))
	}
	tab.Await("the choice is there", `document.getElementById("chart-scope").options.length === 4`)
	choose("chart-scope", "search.example.com")
	tab.AwaitText("#counts", "Waiting for a server")
	choose("events-backend", "search.example.com")
	tab.AwaitText("#events-list li:not([hidden])", "readmitted")
	assert.Equal(t, 2, number(tab, `document.querySelectorAll("#events-list li:not([hidden])").length`))
	tab.Quiet()
}

func TestPageSaysThatTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	tab := open(t, f, 1000, 800)
	tab.AwaitText("#total-rate", "873")
	f.set(func() { f.gone = true })
	tab.AwaitText("#lost", "Connection lost")
	tab.AwaitText("#state", "connection lost")
	f.set(func() { f.gone, f.status.Total.Rate = false, 5 })
	tab.Await("the notice is gone", `document.getElementById("lost").hidden`)
	tab.AwaitText("#total-rate", "5.0")
	tab.AwaitText("#state", "serving")
	tab.Quiet("503", "ERR_INCOMPLETE_CHUNKED_ENCODING")
}

const drainButton = `[...document.querySelectorAll(".drain")].find((b) => b.textContent.includes("10.0.3.12:8080"))`

func TestPageDrainsAfterAQuestion(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	tab := open(t, f, 1400, 1000)
	tab.Await("the button is there", drainButton)
	press := func() { pagetest.Eval[bool](tab, drainButton+`.focus(), true`); tab.Press(kb.Enter) }

	press()
	tab.AwaitText("#dialog", "Drain 10.0.3.12:8080 of shop.example.com?")
	tab.Press(kb.Escape)
	tab.Await("the dialog is closed", `!dialog.open`)
	f.mu.Lock()
	assert.Empty(t, f.asked, "Escape is a no")
	f.mu.Unlock()

	press()
	tab.Await("the dialog is open, and yes is one key away", `dialog.open && document.activeElement.id === "dialog-confirm"`)
	tab.Press(kb.Enter)
	tab.Await("the server is drained", drainButton+`.innerText.startsWith("Undrain")`)
	tab.Await("the keyboard is where it was", `document.activeElement === `+drainButton)
	f.mu.Lock()
	assert.Equal(t, []api.DrainRequest{{Backend: "shop.example.com", Server: "10.0.3.12:8080"}}, f.asked)
	f.mu.Unlock()
	press()
	tab.Await("the dialog is open", `dialog.open`)
	tab.Press(kb.Enter)
	tab.Await("the server is undrained", drainButton+`.innerText.startsWith("Drain")`)
	tab.Quiet()
}

func TestPageSaysWhyItMayNot(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	f.refuse = http.StatusForbidden
	tab := open(t, f, 1400, 1000)
	tab.Await("the button is there", drainButton)
	pagetest.Eval[bool](tab, drainButton+`.click(), true`)
	tab.Click("#dialog-confirm")
	tab.AwaitText("#dialog-error", "without a login nothing but GET is allowed here")
	tab.AwaitText("#dialog-error", "admin.users")
	assert.NotContains(t, pagetest.Eval[string](tab, `document.getElementById("dialog-error").textContent`), "explain", "that may be asked without a login")
	tab.Quiet("403")
}

// Where nothing may be changed the buttons that would say so before anybody has confirmed anything, to those who cannot hover over them too. A bug
// had them ask first and refuse then.
func TestPageThatMayOnlyLook(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	f.set(func() { f.status.ReadOnly = true })
	tab := open(t, f, 1400, 1000)
	tab.Await("the button is there", drainButton)
	for _, button := range []string{drainButton, `document.getElementById("reload")`} {
		tab.Await("it is off", button+`.ariaDisabled === "true"`)
		assert.Contains(t, pagetest.Eval[string](tab, button+`.title`), "admin.users")
		pagetest.Eval[bool](tab, button+`.focus(), document.activeElement === `+button)
		tab.Press(kb.Enter)
		tab.AwaitText("#dialog", "Nothing can be changed here")
		tab.AwaitText("#dialog", "l7 drain, l7 undrain, l7 reload")
		assert.True(t, pagetest.Eval[bool](tab, `document.getElementById("dialog-confirm").hidden`))
		tab.Press(kb.Escape)
		tab.Await("the dialog is closed", `!dialog.open`)
	}
	f.set(func() { f.status.ReadOnly = false })
	tab.Await("it is on", drainButton+`.ariaDisabled === null && `+drainButton+`.title === ""`)
	pagetest.Eval[bool](tab, drainButton+`.click(), true`)
	tab.AwaitText("#dialog", "Drain 10.0.3.12:8080 of shop.example.com?")
	assert.Empty(t, f.asked)
	tab.Quiet()
}

// Who drains the last server that takes requests is told what that means. A bug had the page ask as of any other.
func TestPageWarnsOfTheLastServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	last := `[...document.querySelectorAll(".drain")].find((b) => b.textContent.includes("10.0.5.22:9000"))`
	tab := open(t, f, 1400, 1000)
	tab.Await("the button is there", last)
	const warning = "No other server of search.example.com takes requests"
	ask := func() string {
		pagetest.Eval[bool](tab, last+`.click(), true`)
		tab.AwaitText("#dialog", "Drain 10.0.5.22:9000 of search.example.com?")
		text := pagetest.Eval[string](tab, `dialog.innerText`)
		tab.Press(kb.Escape)
		tab.Await("the dialog is closed", `!dialog.open`)
		return text
	}
	assert.NotContains(t, ask(), warning, "one that is full is there")
	f.set(func() { f.status.Backends[1].Servers[0].State = "ejected" })
	tab.AwaitText(".servers", "ejected")
	assert.Contains(t, ask(), warning)
	tab.Quiet()
}

// A backend that is down says why, and a server that takes requests and fails them how. A bug showed both in green.
func TestPageSaysWhatFails(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	f.set(func() {
		f.status.Backends[0].Problem = "no server is available; requests are answered 503 (all_down: fail)"
		search := &f.status.Backends[1]
		search.Problem = "cannot resolve nowhere.test: no such host"
		for i := range search.Servers {
			search.Servers[i].State = "available"
			search.Servers[i].LastFailure = &api.Failure{Time: time.Now().Add(-3 * time.Second), Reason: "connect_refused: connection refused"}
		}
	})
	tab := open(t, f, 1400, 1000)
	row := func(name string) string {
		return fmt.Sprintf(`[...document.querySelectorAll(".servers tr")].find((row) => row.querySelector("th").textContent.includes(%q)).querySelector(".state")`, name)
	}
	tab.Await("why it is down", row("legacy.example.com")+`.textContent.includes("no server is available; requests are answered 503")`)
	tab.Await("the name", row("search.example.com")+`.textContent.includes("2 of 2 available, 2 failing, 4 waiting: cannot resolve nowhere.test: no such host")`)
	tab.Await("the failure", row("10.0.5.21:9000")+`.textContent.match(/failed \d+ s ago: connect_refused: connection refused/)`)
	for _, name := range []string{"search.example.com", "10.0.5.21:9000"} {
		assert.Equal(t, "wait", pagetest.Eval[string](tab, row(name)+`.querySelector(".badge").dataset.tone`), name)
	}
	f.set(func() {
		f.status.Backends[1].Servers[0].LastFailure = nil
		f.status.Backends[2].Servers[3].DrainedUntil = time.Now().Add(time.Hour)
	})
	tab.Await("when a drain ends", row("10.0.3.15:8080")+`.textContent.match(/drained by command; undrained in (1 h|59 min)/)`)
	tab.Await("one answers", row("search.example.com")+`.textContent.includes("1 failing") && `+row("search.example.com")+`.querySelector(".badge").dataset.tone === "good"`)
	tab.Quiet()
}

// The certificates that end first are told of. They were in the JSON alone.
func TestPageShowsWhenCertificatesEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	day := 24 * time.Hour
	end := func(left ...time.Duration) {
		f.set(func() {
			f.status.Certificates = nil
			for i, left := range left {
				f.status.Certificates = append(f.status.Certificates, api.Certificate{Names: []string{fmt.Sprintf("%d.io", i)}, Until: time.Now().Add(left + time.Hour)})
			}
		})
	}
	tab := open(t, f, 1400, 1000)
	assert.True(t, pagetest.Eval[bool](tab, `document.getElementById("certificates-box").hidden`), "there are none")
	const isBad = `document.getElementById("certificates").classList.contains("bad")`
	end(80*day, 40*day, 90*day, 30*day)
	tab.AwaitText("#certificates", "3.io in 30 d, 1.io in 40 d, 0.io in 80 d, and 1 more")
	assert.False(t, pagetest.Eval[bool](tab, isBad))
	end(80*day, 13*day)
	tab.AwaitText("#certificates", "1.io in 13 d, 0.io in 80 d")
	assert.True(t, pagetest.Eval[bool](tab, isBad))
	end(-3 * day)
	tab.AwaitText("#certificates", "0.io 2 d ago")
	f.set(func() {
		f.status.Certificates = []api.Certificate{{File: "/etc/a.pem", Until: time.Now().Add(day + time.Hour)}}
	})
	tab.AwaitText("#certificates", "/etc/a.pem in 1 d")
	tab.Quiet()
}

func TestPageReloadShowsProblems(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	tab := open(t, f, 1400, 1000)
	tab.Click("#reload")
	tab.AwaitText("#dialog", "/etc/l7/l7.yml")
	tab.Click("#dialog-confirm")
	tab.AwaitText("#dialog", "The reload was refused")
	tab.AwaitText("#dialog", "l7.yml:12:5: ")
	tab.Press(kb.Enter)
	tab.Await("the dialog is closed", `!dialog.open`)
	tab.AwaitText("#refused", "was refused")
	tab.AwaitText("#last-reload", "l7.yml:12:5: ")
	tab.Click("#config-show")
	tab.AwaitText("#config-text", "# /etc/l7/l7.yml:6")
	tab.Quiet("422")
}

func TestPageHistoryOfAServer(t *testing.T) {
	t.Parallel()
	tab := open(t, newFake(t, typical()), 1400, 1000)
	tab.Await("the button is there", `document.querySelector(".why")`)
	tab.Click(".why")
	tab.AwaitText("#dialog", "connect: connection refused")
	tab.Quiet()
}

// hostile is HTML that a browser would run.
const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>"'&amp;`

func TestPageOfHostileAndLongNames(t *testing.T) {
	t.Parallel()
	status := typical()
	long := strings.Repeat("a-very-long-name-without-any-place-to-break", 6) + ".example.com"
	status.Backends = []api.Backend{
		{Name: hostile, Policy: hostile, State: "up", Servers: []api.Server{{Address: hostile, State: "unhealthy", Reason: hostile}}},
		{Name: long, Policy: "round_robin", State: "up", Traffic: traffic(1e7, 9e6, 59_999, 1e6), Servers: []api.Server{{Address: "unix:/" + long, State: "available", Reason: long, Rate: 1e7, P99: 59_999}}},
	}
	status.ConfigFile, status.Version = "/"+long, hostile
	f := newFake(t, status)
	f.set(func() {
		f.events = []api.Event{{ID: 1, Time: time.Now(), Backend: hostile, Server: long, State: hostile, Reason: hostile}}
	})
	for _, width := range []int64{1400, 760, 360} {
		tab := open(t, f, width, 800)
		tab.AwaitText(".servers", hostile)
		tab.AwaitText("#events-list", hostile)
		assert.Zero(t, number(tab, `document.querySelectorAll("body img, body script").length`))
		assertFits(t, tab)
		tab.Quiet()
	}
}

// assertFits requires that the page is no wider than the window, nor anything in it that does not scroll by itself.
func assertFits(t *testing.T, tab *pagetest.Tab) {
	t.Helper()
	wide := pagetest.Eval[[]string](tab, `[...document.querySelectorAll("body *")].filter((e) => {
		const box = e.getBoundingClientRect();
		return box.width && box.right > innerWidth + 1 && !e.closest(".scroll, pre, .spoken, .skip, thead, .u-over, .plot");
	}).map((e) => e.tagName + "." + e.className + "#" + e.id)`)
	assert.Empty(t, wide)
	assert.LessOrEqual(t, number(tab, "document.documentElement.scrollWidth"), number(tab, "window.innerWidth"))
}

func TestPageWithoutBackends(t *testing.T) {
	t.Parallel()
	tab := open(t, newFake(t, api.Status{State: "serving", Listeners: []string{}, Backends: []api.Backend{}}), 1000, 800)
	tab.AwaitText("#backends", "The config has no backends.")
	tab.AwaitText("#events", "Nothing has happened yet.")
	tab.Quiet()
}

func TestPageOfManyBackends(t *testing.T) {
	t.Parallel()
	status := typical()
	shop := status.Backends[2]
	shop.Traffic.History = nil
	status.Backends = nil
	for i := range 500 {
		b := shop
		b.Name = fmt.Sprintf("backend-%03d.example.com", i)
		b.Servers = append([]api.Server{}, shop.Servers[:2]...)
		status.Backends = append(status.Backends, b)
	}
	f := newFake(t, status)
	f.pace = time.Second
	tab := open(t, f, 1400, 1000)
	tab.AwaitText("#backends-count", "500")
	assert.Zero(t, number(tab, `document.querySelectorAll(".server").length`), "so many are collapsed at first")
	pagetest.Eval[bool](tab, `document.getElementById("expand-all").click(), true`) // to look for a place to click is slow among so many
	tab.Await("all are there", `document.querySelectorAll(".server").length === 1000`)
	pagetest.Eval[bool](tab, `(window.kept = document.querySelector(".server"), window.made = 0, new MutationObserver((list) => {
		for (const change of list) made += [...change.addedNodes].filter((node) => node.nodeType === 1).length;
	}).observe(document.querySelector(".servers"), {subtree: true, childList: true}), true)`)
	f.set(func() { f.status.Backends[0].Servers[0].Rate, f.status.Connections = 77.7, 4321 })
	tab.AwaitText("#connections", "4,321")
	tab.Await("the figure is there", `document.querySelector(".server").textContent.includes("77.7")`)
	assert.True(t, pagetest.Eval[bool](tab, `kept === document.querySelector(".server")`))
	assert.Zero(t, number(tab, "made"), "a second changes texts, and makes no elements")

	f.set(func() {
		last := f.status.Backends[499].Servers
		last[0].State, last[0].Rate = "ejected", 55.5
	})
	const server = `[...document.querySelectorAll(".server")].at(-2)`
	tab.Await("a state is told out of sight", server+`.textContent.includes("ejected")`)
	pagetest.Eval[bool](tab, server+`.scrollIntoView(), true`)
	tab.Await("a figure is told in sight", server+`.textContent.includes("55.5")`)

	search := func(text string) {
		pagetest.Eval[bool](tab, fmt.Sprintf(`(() => { const s = document.getElementById("backends-search"); s.value = %q; return s.dispatchEvent(new Event("input")); })()`, text))
	}
	search("backend-49")
	tab.AwaitText("#backends-count", "10 of 500")
	pagetest.Eval[bool](tab, `document.getElementById("collapse-all").click(), true`)
	assert.Zero(t, number(tab, `document.querySelectorAll(".server").length`))
	search("nothing")
	tab.AwaitText("#backends-none", "No backend is like that.")
	tab.Quiet()
}

// TestPageByKeyboard walks over the page with the tabulator and requires to see where it is.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	tab := open(t, newFake(t, typical()), 1400, 1000)
	tab.Await("the table is there", drainButton)
	reached := map[string]bool{}
	for range 80 {
		tab.Press(kb.Tab)
		at := pagetest.Eval[string](tab, `(() => { const e = document.activeElement; return e.id || e.className || e.getAttribute("href") || e.tagName; })()`)
		if len(reached) == 0 {
			assert.Equal(t, "skip", at, "the first is the way to the content")
		}
		if at == "BODY" {
			break
		}
		reached[at] = true
		assert.True(t, pagetest.Eval[bool](tab, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle === "solid" && parseFloat(s.outlineWidth) >= 2; })()`), "the focus on %s is not to be seen", at)
	}
	for _, want := range []string{
		"reload", "theme", "chart-scope", "backends-search", "backends-trouble", "expand-all", "collapse-all", "toggle", "why", "drain",
		"events-backend", "explain-method", "explain-url", "explain-fields", "explain-from", "config-show",
	} {
		assert.True(t, reached[want], "%s is not reached", want)
	}
	assert.Empty(t, pagetest.Eval[[]string](tab, `[...document.querySelectorAll("input, select, textarea")].filter((e) => !e.labels.length).map((e) => e.id)`), "fields without a label")
	assert.Empty(t, pagetest.Eval[[]string](tab, `[...document.querySelectorAll("th")].filter((e) => !e.scope).map((e) => e.textContent)`), "table headers without a scope")
	assert.Empty(t, pagetest.Eval[[]string](tab, `[...document.querySelectorAll("button")].filter((e) => e.id !== "dialog-confirm" && !e.textContent.trim()).map((e) => e.id)`), "buttons without a name")
}

func TestPageThemes(t *testing.T) {
	t.Parallel()
	tab := open(t, newFake(t, typical()), 1000, 800)
	ground := func() string { return pagetest.Eval[string](tab, `getComputedStyle(document.body).backgroundColor`) }
	tab.Prefer("dark")
	dark := ground()
	tab.Prefer("light")
	light := ground()
	assert.NotEqual(t, dark, light)
	pagetest.Eval[bool](tab, `theme.value = "dark", theme.dispatchEvent(new Event("change"))`)
	assert.Equal(t, dark, ground())
	tab.Load(pagetest.Eval[string](tab, "location.href"))
	assert.Equal(t, dark, ground(), "the choice is kept")
	tab.Quiet()
}

// TestPictures takes the pictures of the docs, and keeps them where L7_TEST_IMAGES names a directory.
func TestPictures(t *testing.T) {
	t.Parallel()
	f := newFake(t, typical())
	f.set(func() { f.events = typicalEvents() })
	shoot := func(name, scheme string, width, height int64) {
		tab := open(t, f, width, height)
		tab.Prefer(scheme)
		tab.AwaitText("#events-list", "drained by command")
		tab.AwaitText("#last-reload", "Last reload")
		assertFits(t, tab)
		picture := tab.Picture()
		assert.Greater(t, len(picture), 10_000, base64.StdEncoding.EncodeToString(picture[:min(len(picture), 64)]))
		if dir := os.Getenv("L7_TEST_IMAGES"); dir != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "status-"+name+".png"), picture, 0o644))
		}
		tab.Quiet()
	}
	shoot("light", "light", 1400, 1000)
	shoot("dark", "dark", 1400, 1000)
	shoot("phone", "light", 360, 740)
}

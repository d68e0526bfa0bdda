// Package pagetest drives the status page in a real Chromium, for tests alone. It knows nothing of what the page says.
package pagetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// patience is how long anything that has to happen may take; it is spent by failing tests only.
const patience = 30 * time.Second

// Tab is a page in a browser of its own, which ends with its test. It is for one goroutine.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu   sync.Mutex // guards said
	said []chromedp.ConsoleMessage
}

// Open starts a browser. A test fails where none is installed.
func Open(t testing.TB) *Tab {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Fatalf("the status page is tested in a real browser: apt-get install -y --no-install-recommends chromium (%v)", err)
	}
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.ExecPath("chromium"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to run as root
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &Tab{t: t, ctx: ctx}
	b.must(chromedp.Do(ctx), "start chromium") // without a timeout, which would be the browser's
	messages := chromedp.Console(ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, message)
			b.mu.Unlock()
		}
	}()
	return b
}

func (b *Tab) must(err error, what string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("the browser cannot %s: %v", what, err)
	}
}

// Do runs actions one after the other.
func (b *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	b.must(chromedp.Do(ctx, actions...), "do that")
}

// Load opens a URL.
func (b *Tab) Load(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// Eval returns the value of a JavaScript expression, which is not under the page's Content-Security-Policy.
func Eval[T any](b *Tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	b.must(err, script)
	return value
}

// Await waits until a JavaScript expression is true. The browser's own way to wait is not open to a page with a strict policy.
func (b *Tab) Await(what, script string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !Eval[bool](b, "Boolean("+script+")"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("this does not come true: %s\n%s\n\n%s\n\n%v", what, script, Eval[string](b, "document.body.innerText"), b.heard())
		}
	}
}

// AwaitText waits until the first of what a CSS selector names is shown and has a text.
func (b *Tab) AwaitText(selector, text string) {
	b.t.Helper()
	b.Await(fmt.Sprintf("%s says %q", selector, text), fmt.Sprintf("document.querySelector(%q)?.checkVisibility() && document.querySelector(%q).textContent.includes(%q)", selector, selector, text))
}

// Click clicks on what a CSS selector names.
func (b *Tab) Click(selector string) {
	b.t.Helper()
	b.Do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// Type types into a field.
func (b *Tab) Type(selector, text string) {
	b.t.Helper()
	b.Do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Press presses keys, see chromedp's package kb.
func (b *Tab) Press(keys string) {
	b.t.Helper()
	b.Do(chromedp.KeyEvent(keys))
}

// Size makes the window as large as this. A narrow one is a phone's.
func (b *Tab) Size(width, height int64) {
	b.t.Helper()
	var options []chromedp.EmulateViewportOption
	if width < 600 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.Do(chromedp.EmulateViewport(width, height, options...))
}

// Prefer sets what the system prefers: light or dark.
func (b *Tab) Prefer(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	b.must(err, "prefer "+scheme)
}

// Picture is the whole page as PNG.
func (b *Tab) Picture() []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	b.must(err, "take a picture")
	return picture
}

// heard are the console's messages so far.
func (b *Tab) heard() []chromedp.ConsoleMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]chromedp.ConsoleMessage{}, b.said...)
}

// Quiet requires that nothing was written to the console: no error, no violation of a policy. Messages with one of the
// texts are expected.
func (b *Tab) Quiet(expected ...string) {
	b.t.Helper()
	const last = "l7: this is the last message"
	Eval[bool](b, "console.log("+fmt.Sprintf("%q", last)+"), true") // what was written before comes before it
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		for _, message := range b.heard() {
			if message.Text == last {
				b.judge(last, expected)
				return
			}
		}
		if time.Now().After(deadline) {
			b.t.Fatal("the console is not to be heard")
		}
	}
}

func (b *Tab) judge(last string, expected []string) {
	b.t.Helper()
	for _, message := range b.heard() {
		known := message.Text == last
		for _, text := range expected {
			known = known || strings.Contains(message.Text, text)
		}
		if !known {
			b.t.Errorf("the console says: %s (%s)", message, message.URL)
		}
	}
}

package page

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// patience ends a test that waits for a browser that will never answer.
const patience = time.Minute

// openBrowser starts Chromium. It ends with the test.
func openBrowser(t testing.TB) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(dbtest.Chromium(t)),
		chromedp.WindowSize(1200, 900),
		// Scrollbars take a width that differs from one system to the next.
		chromedp.Flag("hide-scrollbars", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// A tab is one page in the browser. The test fails if the page asks for another file, opens a dialog or
// writes to the console.
type tab struct {
	testing.TB
	ctx    context.Context
	answer sync.WaitGroup // to dialogs

	mu         sync.Mutex
	violations []string // guarded by mu: what the Content-Security-Policy has refused
}

// open writes the page to a file, and opens it in a new tab, once the actions have set that up.
func open(t testing.TB, browserContext context.Context, f Fleet, setup ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	return openText(t, browserContext, write(t, f), setup...)
}

func openText(t testing.TB, browserContext context.Context, text string, setup ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet.html")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()

	b := &tab{TB: t}
	t.Cleanup(b.answer.Wait)
	ctx, closeTab := chromedp.NewContext(browserContext)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil { // whose context the tab has, so it mustn't have a limit
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Listen(ctx, func(event any) { b.watch(event, address) }); err != nil {
		t.Fatal(err)
	}
	b.run(call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}), call(runtime.Enable, cdp.Empty{}))
	b.run(setup...)
	b.run(chromedp.Navigate(address))
	return b
}

func (b *tab) watch(event any, address string) {
	switch e := event.(type) {
	case *cdppage.EventJavascriptDialogOpening:
		b.Errorf("the page opens a dialog: %s", e.Message)
		b.answer.Go(func() { // or the tab waits for ever
			_, _ = chromedp.Call(b.ctx, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: true})
		})
	case *network.EventRequestWillBeSent:
		if e.Request.URL != address && e.Request.URL != "about:blank" {
			b.Errorf("the page asks for %s", e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.Errorf("the page's script fails: %v", e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		b.Errorf("the page writes to the console: %s", e.Type)
	case *log.EventEntryAdded:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.violations = append(b.violations, e.Entry.Text)
	}
}

// quiet checks that the browser had nothing to say of the page.
func (b *tab) quiet() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.violations) != 0 {
		b.Errorf("the browser says: %q", b.violations)
	}
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// call is an action that is one command, whose result doesn't matter.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// get returns the result of an action.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

func scheme(name string) chromedp.Action[chromedp.Void] {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
}

func size(width, height int64) chromedp.Action[chromedp.Void] {
	return call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600,
	})
}

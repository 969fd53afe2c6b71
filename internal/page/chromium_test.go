package page

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestInChromium opens pages as a person does, from a file.
func TestInChromium(t *testing.T) {
	ctx := openBrowser(t)
	for _, x := range []struct {
		name string
		test func(*testing.T, context.Context)
	}{
		{"the counts and rows of a fleet", testCounts},
		{"filter by text", testFilterByText},
		{"filter by state", testFilterByState},
		{"sort by a column", testSort},
		{"a rollout has servers", testServers},
		{"filter with the keyboard", testKeyboard},
		{"hostile texts are shown as they are", testHostile},
		{"nothing but the page's own script runs", testPolicy},
		{"an error of several lines", testErrorLines},
		{"an empty fleet", testEmpty},
		{"without JavaScript", testWithoutScript},
		{"a table for those who can't see it", testAccessible},
		{"fits the screen", testFits},
		{"readable in both schemes", testContrast},
		{"10,000 tenants", testTenThousand},
	} {
		t.Run(x.name, func(t *testing.T) { x.test(t, ctx) })
	}
}

// visible is the names of the rows on the page, wherever it is scrolled to.
const visible = `[...document.querySelectorAll("tbody tr")].filter((tr) => tr.checkVisibility()).map((tr) => tr.cells[0].textContent)`

func (b *tab) wantVisible(names ...string) {
	b.Helper()
	if got := eval[[]string](b, visible); !slices.Equal(got, names) {
		b.Errorf("shows %q, want %q", got, names)
	}
}

func (b *tab) wantShown(text string) {
	b.Helper()
	if got := eval[string](b, `document.querySelector("[role=status]").innerText`); got != text {
		b.Errorf("says %q, want %q", got, text)
	}
}

// search types over what is in the filter box.
func (b *tab) search(text string) {
	b.Helper()
	eval[any](b, `document.getElementById("text").select()`)
	b.run(chromedp.SendKeys(chromedp.ID("text"), text+" "+kb.Backspace))
}

// toggle clicks the count of a state.
func (b *tab) toggle(state string) {
	b.Helper()
	b.run(chromedp.Click(chromedp.CSS(fmt.Sprintf("#states li[data-state=%q] button", state))))
}

func testCounts(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet())
	got := eval[[]string](b, `[...document.querySelectorAll("#states li")].map((li) => li.innerText.trim().replace(/\s+/g, " "))`)
	if want := []string{"2 failed", "1 missing", "1 pending", "1 quarantined", "2 up to date"}; !slices.Equal(got, want) {
		t.Errorf("counts %q, want %q", got, want)
	}
	b.wantVisible("Globex", "stark", "hooli", "initech", "umbrella", "acme", "acme-test")
	b.wantShown("All 7 shown")
	rows := eval[[]string](b, `[...document.querySelectorAll("tbody tr")].map((tr) => [...tr.cells].map((c) => c.innerText).join("|"))`)
	for i, want := range map[int]string{
		1: "stark|failed|20260201120000|2|lock timeout",
		2: `hooli|missing|none|3|schema "hooli" is not there`,
		4: "umbrella|quarantined|unknown|unknown",
		5: "acme|up to date|20260301120000|0",
	} {
		if rows[i] != want {
			t.Errorf("row %d is %q, want %q", i, rows[i], want)
		}
	}
	if got := eval[string](b, `document.querySelector("header").innerText.replace(/\s+/g, " ")`); got != "shop 7 tenants, as of 2026-03-14 15:09:26 UTC" {
		t.Errorf("header %q", got)
	}
	if got := eval[string](b, `document.title`); got != "shop" {
		t.Errorf("title %q", got)
	}
	b.quiet()
}

func testSort(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet())
	sort := func(column string, want ...string) {
		t.Helper()
		eval[any](b, fmt.Sprintf(`[...document.querySelectorAll("thead button")].find((e) => e.textContent === %q).click()`, column))
		b.wantVisible(want...)
	}
	sorted := func(want string) {
		t.Helper()
		if got := eval[string](b, `[...document.querySelectorAll("[aria-sort]")].map((e) => e.textContent + " " + e.getAttribute("aria-sort")).join()`); got != want {
			t.Errorf("sorted by %q, want %q", got, want)
		}
	}
	sorted("")
	sort("Tenant", "acme", "acme-test", "Globex", "hooli", "initech", "stark", "umbrella")
	sorted("Tenant ascending")
	sort("Tenant", "umbrella", "stark", "initech", "hooli", "Globex", "acme-test", "acme")
	sorted("Tenant descending")
	sort("Version", "umbrella", "hooli", "Globex", "stark", "initech", "acme", "acme-test")
	sorted("Version ascending")
	sort("Pending", "umbrella", "acme", "acme-test", "initech", "Globex", "stark", "hooli")
	b.search("acme") // the filter and the order go together
	b.wantVisible("acme", "acme-test")
	b.search("")
	sort("State", "Globex", "stark", "hooli", "initech", "umbrella", "acme", "acme-test")
	b.quiet()
}

func testServers(t *testing.T, ctx context.Context) {
	b := open(t, ctx, Fleet{Servers: true, Tenants: []Tenant{
		{Name: "a", State: "done", Version: 2, Server: "pg-10"}, {Name: "b", State: "stale", Version: 1, Server: "pg-9"}, {Name: "c", State: "held", Version: 1, Server: "pg-9"},
	}})
	b.wantVisible("b", "c", "a")
	eval[any](b, `[...document.querySelectorAll("thead button")].find((e) => e.textContent === "Server").click()`)
	b.wantVisible("b", "c", "a")
	eval[any](b, `[...document.querySelectorAll("thead button")].find((e) => e.textContent === "Server").click()`)
	b.wantVisible("a", "b", "c")
	b.search("pg-9")
	b.wantVisible("b", "c")
	b.quiet()
}

func testFilterByText(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet())
	for _, x := range []struct {
		text  string
		names []string
		shown string
	}{
		{"acme", []string{"acme", "acme-test"}, "2 of 7 shown"},
		{"ACME-", []string{"acme-test"}, "1 of 7 shown"},
		{"globex", []string{"Globex"}, "1 of 7 shown"},
		{"(A-1) IS duplicated", []string{"Globex"}, "1 of 7 shown"},
		{".*", nil, "0 of 7 shown"},
		{"failed", nil, "0 of 7 shown"}, // a state has its count for that
		{"", []string{"Globex", "stark", "hooli", "initech", "umbrella", "acme", "acme-test"}, "All 7 shown"},
	} {
		b.search(x.text)
		if got := eval[string](b, `document.getElementById("text").value`); got != x.text {
			t.Fatalf("the box has %q, not %q", got, x.text)
		}
		b.wantVisible(x.names...)
		b.wantShown(x.shown)
	}
	b.quiet()
}

func testFilterByState(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet())
	pressed := func(want ...string) {
		t.Helper()
		got := eval[[]string](b, `[...document.querySelectorAll("#states [aria-pressed=true]")].map((e) => e.parentNode.dataset.state)`)
		if !slices.Equal(got, want) {
			t.Errorf("pressed are %q, want %q", got, want)
		}
	}
	pressed()
	b.toggle("failed")
	pressed("failed")
	b.wantVisible("Globex", "stark")
	b.wantShown("2 of 7 shown")
	b.toggle("quarantined")
	pressed("failed", "quarantined")
	b.wantVisible("Globex", "stark", "umbrella")
	b.search("TIMEOUT")
	b.wantVisible("stark")
	b.wantShown("1 of 7 shown")
	b.toggle("failed")
	b.wantVisible()
	b.search("")
	b.wantVisible("umbrella")
	b.toggle("quarantined")
	pressed()
	b.wantShown("All 7 shown")
	b.quiet()
}

func testKeyboard(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet())
	b.run(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(" "))
	b.wantVisible("Globex", "stark")
	b.run(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	b.wantVisible("Globex", "stark", "hooli")
	for range 4 {
		b.run(chromedp.KeyEvent(kb.Tab))
	}
	b.run(chromedp.KeyEvent("hoo"))
	b.wantVisible("hooli")
	b.run(chromedp.KeyEvent(kb.Escape))
	b.wantVisible("Globex", "stark", "hooli")
	b.quiet()
}

// testHostile is without the page's policy, which would hide that a text is not escaped.
func testHostile(t *testing.T, ctx context.Context) {
	texts := []string{
		hostileName,
		`</script><script>alert(2)</script>`,
		`"><img src=x onerror=alert(3)>`,
		`' onmouseover='alert(4)`,
		`</title></style></table><svg onload=alert(5)>`,
		`{{.Title}} ${alert(6)} <!-- -->`,
		`javascript:alert(7)`,
		`&lt;b&gt; &amp;amp;`,
		"two  spaces\tand a tab",
		"\u202Egnp.exe",
		"日本 ünï 🦆",
	}
	f := Fleet{Title: strings.Join(texts[:6], " ")}
	for i, text := range texts {
		f.Tenants = append(f.Tenants, Tenant{Name: text, State: string(rune('a'+i)) + text, Error: text})
	}
	b := open(t, ctx, f, call(cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true}))
	b.wantVisible(texts...)
	for column, prefixed := range map[int]bool{1: true, 4: false} {
		got := eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].map((tr) => tr.cells[%d].textContent)`, column))
		for i, text := range texts {
			if prefixed {
				text = f.Tenants[i].State
			}
			if i >= len(got) || got[i] != text {
				t.Errorf("column %d shows %q, want %q", column, got, text)
				break
			}
		}
	}
	if got := eval[string](b, `document.querySelector("h1").textContent`); got != f.Title {
		t.Errorf("heading %q", got)
	}
	if got := eval[string](b, `document.title`); got != f.Title {
		t.Errorf("title %q", got)
	}
	if got := eval[string](b, `document.querySelector("tbody th").innerText`); got != hostileName {
		t.Errorf("on the screen the name is %q", got)
	}
	if got := eval[[]int](b, `[document.scripts.length, document.querySelectorAll("img, svg").length, document.querySelectorAll("tbody tr").length]`); !slices.Equal(got, []int{1, 0, len(texts)}) {
		t.Errorf("scripts, pictures, rows: %v", got)
	}
	b.search(hostileName)
	b.wantVisible(hostileName)
	b.search("")
	b.run(chromedp.Click(chromedp.CSS("#states li:nth-child(1) button")))
	b.wantVisible(hostileName)
	b.quiet()
}

// testPolicy: were a text not escaped, the browser would still refuse to do what it says.
func testPolicy(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet())
	b.quiet()
	refused := get(b, chromedp.Evaluate[[]string](`new Promise((resolve) => {
		const refused = [];
		document.addEventListener("securitypolicyviolation", (e) => {
			refused.push(e.effectiveDirective);
			if (refused.length === 3) resolve(refused.sort());
		});
		document.body.insertAdjacentHTML("beforeend", "<p style='color: red' onclick='alert(1)'>x</p>");
		document.body.lastChild.click();
		const script = document.createElement("script");
		script.textContent = "alert(2)";
		document.body.append(script);
	})`, chromedp.EvalAwaitPromise))
	if want := []string{"script-src-attr", "script-src-elem", "style-src-attr"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q, want %q", refused, want)
	}
}

func testErrorLines(t *testing.T, ctx context.Context) {
	f := smallFleet()
	b := open(t, ctx, f)
	// The text is there once the page is laid out.
	if got := get(b, chromedp.Evaluate[string](`new Promise((resolve) => {
		const look = () => { const text = document.querySelector("tbody td.error").innerText; text ? resolve(text) : setTimeout(look, 20) };
		look();
	})`, chromedp.EvalAwaitPromise)); got != f.Tenants[1].Error {
		t.Errorf("the error is %q on the screen, want %q", got, f.Tenants[1].Error)
	}
	if lines := eval[float64](b, `(() => { const e = document.querySelector("tbody td.error"), s = getComputedStyle(e);
		return (e.clientHeight - parseFloat(s.paddingTop) - parseFloat(s.paddingBottom)) / parseFloat(s.lineHeight) })()`); lines < 1.9 || lines > 2.1 {
		t.Errorf("it has %v lines", lines)
	}
	b.quiet()
}

func testEmpty(t *testing.T, ctx context.Context) {
	b := open(t, ctx, Fleet{Title: "nobody"})
	if got := eval[string](b, `document.body.innerText.trim().replace(/\s+/g, " ")`); got != "nobody 0 tenants There are no tenants." {
		t.Errorf("shows %q", got)
	}
	b.quiet()
}

func testWithoutScript(t *testing.T, ctx context.Context) {
	b := open(t, ctx, smallFleet(), call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.wantVisible("Globex", "stark", "hooli", "initech", "umbrella", "acme", "acme-test")
	if n := eval[int](b, `[...document.querySelectorAll("button, input, [role=status]")].filter((e) => e.checkVisibility()).length`); n != 0 {
		t.Errorf("%d things to click or type in, which would do nothing", n)
	}
	if got := eval[string](b, `document.querySelector("#states").innerText.trim().replace(/\s+/g, " ")`); got != "2 failed 1 missing 1 pending 1 quarantined 2 up to date" {
		t.Errorf("counts %q", got)
	}
	b.quiet()
}

// testAccessible: the style sheet turns rows into grids, which must not take the table from those who have it read to
// them, nor the columns' names.
func testAccessible(t *testing.T, ctx context.Context) {
	for _, width := range []int64{1200, 390} {
		t.Run(fmt.Sprint(width, " wide"), func(t *testing.T) {
			b := open(t, ctx, smallFleet(), size(width, 844))
			var wrong []string
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) { // it follows the page at some distance
				got := b.accessible()
				wrong = nil
				for want, times := range map[string]int{
					"table Tenants and their states":    1,
					"columnheader Tenant":               1,
					"columnheader State":                1,
					"columnheader Version":              1,
					"columnheader Pending":              1,
					"columnheader Error":                1,
					"rowheader stark":                   1,
					"cell quarantined":                  1,
					"cell lock timeout":                 1,
					"searchbox Filter by name or error": 1,
					"button 2 failed":                   1,
					"list Tenants by state":             1,
				} {
					if n := count(got, want); n != times {
						wrong = append(wrong, fmt.Sprintf("%q is there %d times in\n%s", want, n, strings.Join(got, "\n")))
					}
				}
				if len(wrong) == 0 || time.Now().After(deadline) {
					break
				}
			}
			for _, text := range wrong {
				t.Error(text)
			}
			b.quiet()
		})
	}
}

// accessible is what the page is to those who have it read to them: roles and names.
func (b *tab) accessible() (list []string) {
	b.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range tree.Nodes {
		if !n.Ignored && n.Role != nil && n.Name != nil {
			list = append(list, strings.Trim(string(n.Role.Value), `"`)+" "+strings.Trim(string(n.Name.Value), `"`))
		}
	}
	return list
}

func count(list []string, s string) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

func testFits(t *testing.T, ctx context.Context) {
	f := smallFleet()
	f.Title = strings.Repeat("a-long-title", 20)
	f.Tenants = append(f.Tenants, Tenant{Name: strings.Repeat("n", 300), State: strings.Repeat("s", 100), Error: strings.Repeat("e", 1000)})
	for _, width := range []int64{1600, 760, 700, 390, 320} {
		b := open(t, ctx, f, size(width, 844))
		if got := eval[int64](b, `document.documentElement.scrollWidth`); got != width {
			t.Errorf("a screen of %d shows %d", width, got)
		}
		if outside := eval[[]string](b, `[...document.querySelectorAll("h1, li, input, tbody th, tbody td")].filter((e) => e.getBoundingClientRect().right > innerWidth || e.scrollWidth > e.clientWidth + 1).map((e) => e.outerHTML.slice(0, 80))`); len(outside) != 0 {
			t.Errorf("on a screen of %d these stick out: %q", width, outside)
		}
		b.quiet()
	}
}

// contrast is the least contrast of the page's texts with what they are on, by the formula of the Web Content
// Accessibility Guidelines.
const contrast = `(() => {
	const parse = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c } return [255, 255, 255] };
	let worst = [99, ""];
	for (const e of document.querySelectorAll("h1, header p, label, [role=status], li b, li span, thead th, tbody th, tbody td")) {
		const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e).slice(0, 3))];
		const c = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (c < worst[0]) worst = [c, e.outerHTML];
	}
	return worst[1] + " has " + worst[0].toFixed(2) + (worst[0] >= 4.5 ? " ok" : "");
})()`

func testContrast(t *testing.T, ctx context.Context) {
	grounds := make(map[string]string)
	f := smallFleet()
	for i, m := range meanings {
		f.Tenants = append(f.Tenants, Tenant{Name: fmt.Sprint(i), State: m.state, Error: "an error"})
	}
	for _, name := range []string{"light", "dark"} {
		b := open(t, ctx, f, scheme(name))
		if got := eval[string](b, contrast); !strings.HasSuffix(got, " ok") {
			t.Errorf("%s: %s", name, got)
		}
		grounds[name] = eval[string](b, `getComputedStyle(document.body).backgroundColor`)
		b.quiet()
	}
	if grounds["light"] == grounds["dark"] {
		t.Errorf("both schemes are %s", grounds["light"])
	}
}

func testTenThousand(t *testing.T, ctx context.Context) {
	b := open(t, ctx, largeFleet(10_000))
	if n := eval[int](b, visible+".length"); n != 10_000 {
		t.Errorf("shows %d tenants", n)
	}
	b.wantShown("All 10,000 shown")
	if got := eval[string](b, `document.querySelector("#states").innerText.trim().replace(/\s+/g, " ")`); got != "100 failed 900 pending 9,000 up to date" {
		t.Errorf("counts %q", got)
	}
	b.search("tenant_009999")
	b.wantVisible("tenant_009999")
	b.search("(A-7700)")
	b.wantVisible("tenant_007700")
	b.search("77")
	b.toggle("failed")
	b.wantShown("1 of 10,000 shown")
	b.wantVisible("tenant_007700")
	b.toggle("failed")
	b.search("")
	b.wantShown("All 10,000 shown")
	b.quiet()
}

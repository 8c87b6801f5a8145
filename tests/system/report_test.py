"""The report in a real browser, and the committed bundle against its sources.

Needs chromium, chromium-driver and python3-selenium; without them the browser tests are skipped, which is a failure
when CI=true.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("EVENKEEL_BIN", ROOT / "build/release"))
WEB = ROOT / "web"
PAGE = ROOT / "evenkeel/report/page"

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import Select, WebDriverWait
except ImportError:
    webdriver = None


def source_hash():
    """The same digest as web/build.mjs: path, size and content of every source, in order of path."""
    names = [str(f.relative_to(WEB)) for f in (WEB / "src").rglob("*") if f.is_file()]
    names += ["package.json", "package-lock.json", "tsconfig.json", "build.mjs"]
    digest = hashlib.sha256()
    for name in sorted(names):
        content = (WEB / name).read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


class Bundle(unittest.TestCase):
    def test_is_built_from_the_sources_in_the_tree(self):
        for name in ("report.js", "report.css"):
            first, body = (PAGE / name).read_bytes().split(b"\n", 1)
            self.assertIn(f"sources sha256 {source_hash()}", first.decode(),
                          f"{name} is out of date: run `npm ci && npm run build` in web/")
            self.assertIn(f"body sha256 {hashlib.sha256(body).hexdigest()}", first.decode(),
                          f"{name} was edited by hand: edit web/src and run `npm ci && npm run build` in web/")

    def test_rebuilds_to_the_same_bytes(self):
        if not shutil.which("npm"):
            self.skipTest("npm is not installed; the hashes in the bundle stand in")
        if not (WEB / "node_modules").is_dir():
            installed = subprocess.run(["npm", "ci", "--silent"], cwd=WEB, capture_output=True, text=True)
            if installed.returncode != 0:
                self.skipTest("npm reaches no registry; the hashes in the bundle stand in")
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(["node", "build.mjs", out], cwd=WEB, check=True)
            for name in ("report.js", "report.css"):
                self.assertEqual((pathlib.Path(out) / name).read_bytes(), (PAGE / name).read_bytes(), name)

    def test_keeps_the_licences_of_what_it_contains(self):
        bundle, notices = (PAGE / "report.js").read_text(), (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
        for package in ("@observablehq/plot", "uplot", "d3-scale", "d3-shape"):
            self.assertIn(package, notices)
            self.assertIn(package + " ", bundle)
        self.assertIn("Copyright", bundle)

    def test_lock_file_names_no_download_address(self):
        for name in ("package-lock.json", ".npmrc", "package.json"):
            self.assertNotIn("://", (WEB / name).read_text(), name)


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        driver = shutil.which("chromedriver")
        if webdriver is None or driver is None or not shutil.which("chromium"):
            if os.environ.get("CI") == "true":
                raise AssertionError("chromium-driver and python3-selenium are needed: run tools/setup test")
            raise unittest.SkipTest("chromium-driver and python3-selenium are not installed")
        cls.folder = tempfile.TemporaryDirectory()
        options = Options()
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking",
                     "disable-component-update", "disable-sync", "no-first-run", "disable-dev-shm-usage",
                     f"user-data-dir={cls.folder.name}/profile"):
            options.add_argument("--" + flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        cls.driver = webdriver.Chrome(service=Service(driver), options=options)

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        cls.folder.cleanup()

    def report(self, kind):
        """Path of the report of one kind of fixture, written once."""
        folder = pathlib.Path(self.folder.name) / kind
        if not folder.exists():
            subprocess.run([BIN / "write_fixture", folder, kind], check=True)
            subprocess.run([BIN / "evenkeel", "report", folder], check=True, stdout=subprocess.DEVNULL)
        return folder / "report.html"

    def open(self, kind, width=1280, dark=False):
        d = self.driver
        d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                          {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
        d.execute_cdp_cmd("Emulation.setEmulatedMedia",
                          {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        d.get_log("browser"), d.get_log("performance")
        d.get(self.report(kind).as_uri())
        # Charts draw when their boxes get a width; the canvas comes last.
        WebDriverWait(d, 20).until(lambda d: d.execute_script(
            "return [...document.querySelectorAll('.chart')].every(c => c.children.length > 0)"
            " && document.querySelectorAll('.chart').length > 0"))

    def js(self, script, *arguments):
        return self.driver.execute_script("return " + script, *arguments)

    def assert_silent(self):
        self.assertEqual(self.driver.get_log("browser"), [])

    def test_every_chart_drew(self):
        self.open("one")
        marks = lambda section, what: self.js(f"document.querySelectorAll('#{section} svg {what}').length")
        # 14 finite cells, each a symbol, in both views; two lost ones at the edge of each.
        self.assertEqual(marks("loss", "g[aria-label=dot] > *"), 2 * 16)
        self.assertGreaterEqual(marks("loss", "g[aria-label=line] path"), 4)
        self.assertEqual(marks("sensitivity", "g[aria-label=bar] rect"), 4)
        self.assertEqual(self.js("document.querySelectorAll('#attention .panel svg').length"), 12)
        self.assertGreaterEqual(marks("attention", "g[aria-label=line] path"), 32)
        self.assertEqual(marks("heads", "g[aria-label=cell] rect"), 16)
        # Every finite run with a largest logit is a mark; means of the seeds are joined.
        self.assertEqual(marks("explore", "g[aria-label=dot] > *"), 16)
        self.assertEqual(marks("explore", "g[aria-label=line] path"), 2)
        inked = self.js("(() => { const c = document.querySelector('#training canvas');"
                        " const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                        " let n = 0; for (let i = 3; i < p.length; i += 4) n += p[i] > 0; return n; })()")
        self.assertGreater(inked, 5000)
        self.assert_silent()

    def test_an_encoder_decoder_shows_its_three_kinds_of_attention(self):
        self.open("pairs")
        # Three quantities of three kinds, a panel per learning rate.
        self.assertEqual(self.js("document.querySelectorAll('#attention .panel svg').length"), 36)
        text = self.js("document.getElementById('attention').innerText")
        for words in ("Encoder", "Decoder, to the encoder's output", "Largest attention logit, cross-attention over training"):
            self.assertIn(words, text)
        layers = self.js("[...document.querySelectorAll('#heads svg [aria-label=\"y-axis tick label\"] text')].map(t => t.textContent)")
        # 300 steps of data.batch_tokens = 4096, of 300 x 2048 tokens.
        self.assertIn("Each token was seen up to 2 times", self.js("document.body.innerText"))
        self.assertEqual(layers, [f"{kind} {layer}" for kind in ("encoder", "decoder", "cross") for layer in (0, 1)])
        self.assert_silent()

    def probe_files(self):
        """Answers with known numbers: an encoder-decoder of 4 and 6 sub-layers, after two schemes."""
        files = []
        for probe, of in (("dependency", lambda i: {"beta": [round(1 / (j + 1), 3) for j in range(i + 2)], "dependency": 0.2}),
                          ("output-change", lambda i: {"change": 1e-7 * (i + 1), "std": 1e-8, "why": ""}),
                          ("gradients", lambda i: {"at_sum": 1e-3 / (i + 1), "at_input": None})):
            answers = []
            for scheme in ("post_ln", "admin"):
                stacks = [{"stack": f"{name}.layers", "sublayers": [{"site": f"{name}.layers.{i}.attn", **of(i)} for i in range(n)]}
                          for name, n in (("encoder", 4), ("decoder", 6))]
                said = {"scheme": scheme, "change": "random", "size": 1e-4, "seeds": 3, "stacks": stacks}
                answers.append({"run": None, "step": 0, "config_hash": "00112233", probe: said})
            files.append(pathlib.Path(self.folder.name) / f"{probe}.json")
            files[-1].write_text(json.dumps(answers))
        return files

    def test_draws_what_probes_said_with_and_without_a_sweep(self):
        options = [word for file in self.probe_files() for word in ("--probe", file)]
        self.report("one")
        for kind, where in (("with_probes", [pathlib.Path(self.folder.name) / "one"]), ("probes_alone", [])):
            folder = pathlib.Path(self.folder.name) / kind
            folder.mkdir(exist_ok=True)
            subprocess.run([BIN / "evenkeel", "report", *where, *options, "-o", folder / "report.html"], check=True,
                           stdout=subprocess.DEVNULL)
            for width, dark in ((1280, False), (390, True)):
                self.open(kind, width, dark)
                marks = lambda section, what: self.js(f"document.querySelectorAll('#{section} svg {what}').length")
                # Grey below, coloured above, of rows 2 to 5 and 2 to 7.
                self.assertEqual(marks("dependency", "g[aria-label=cell] rect"), 2 * 2 * (14 + 27))
                for section in ("output-change", "gradients"):
                    self.assertEqual(marks(section, "g[aria-label=line] path"), 4)
                self.assertEqual(marks("output-change", "g[aria-label=area] path"), 4)
                names = self.js("[...document.querySelectorAll('#gradients .legend li')].map(l => l.innerText)")
                self.assertEqual([n[1:].strip() for n in names],
                                 ["post_ln, encoder", "post_ln, decoder", "admin, encoder", "admin, decoder"])
                self.assertLessEqual(self.js("document.documentElement.scrollWidth"),
                                     self.js("document.documentElement.clientWidth"))
                self.assertEqual(self.js("[...document.querySelectorAll('main svg, figure, section')].filter("
                                         "e => e.getBoundingClientRect().right > innerWidth + 1).length"), 0)
                self.assert_silent()
            self.assertEqual(self.js("document.querySelectorAll('#loss').length"), 1 if where else 0)
        for words, sentence in (([], "or --probe FILE"), (options, "add --out FILE"),
                                (["--probe", pathlib.Path(self.folder.name) / "one/sweep.json", "-o", "x.html"], "no answer")):
            done = subprocess.run([BIN / "evenkeel", "report", *words], capture_output=True, text=True, cwd=self.folder.name)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(sentence, done.stderr)

    def test_says_what_it_found_and_what_not(self):
        self.open("one")
        sections = self.js("[...document.querySelectorAll('main > section')].map(s => s.id)")
        self.assertEqual(sections, ["verdict", "numbers", "boundary", "loss", "sensitivity", "attention", "explore", "training", "heads",
                                    "cells", "config", "definitions", "limits"])
        text = self.js("document.getElementById('report').innerText")
        for words in ("Does qk-norm move the boundary?", "boundary LR", "seeds surely later", "shift of the boundary", "best of the grid, same seeds", "arXiv 2309.14322",
                      "only one size was run", "degraded", "0.07"):
            self.assertIn(words, text)

    def test_draws_the_bracket_of_every_seed(self):
        self.open("refined")
        links = self.js("document.querySelectorAll('#boundary svg g[aria-label=link] path').length")
        # Six seeds of two arms, the band of each arm, its whiskers.
        self.assertEqual(links, 12 + 2 + 2)
        rows = self.js("[...document.querySelectorAll('#boundary tbody tr')].map(r => [...r.children].map(t => t.innerText || t.textContent))")
        self.assertEqual(len(rows), 12)
        self.assertIn(["qk_norm=off", "1", "0.17", "0.23", "0.12", "0"], rows)
        self.assertIn(["qk_norm=per_head", "2", "0.1", "0.3", "0.48", "1"], rows)
        # Cells that narrow brackets are marks of their own: no lines, no panels.
        self.assertEqual(self.js("document.querySelectorAll('#attention .panel svg').length"), 12)
        self.assertEqual(self.js("document.querySelector('#loss table').tBodies[0].rows.length"), 8)
        self.assertEqual(self.js("[...document.querySelectorAll('#cells tbody tr')].filter(r => r.innerText.includes('narrow a bracket')).length"), 18)
        text = self.js("document.getElementById('report').innerText")
        for words in ("5 of 6", "0 surely earlier, 1 undecided", "became stable again above the bracket", "One threshold per seed"):
            self.assertIn(words, text)
        verdict = self.js("document.getElementById('verdict').innerText")
        self.assertNotIn("wall clock", verdict)
        self.assert_silent()

    def test_many_arms_stay_apart(self):
        self.open("arms")
        self.assertEqual(self.js("document.querySelectorAll('#verdict tbody tr').length"), 8)
        self.assertEqual(self.js("[...document.querySelectorAll('#verdict details')].filter(d => !d.open).length"), 8)
        self.assertIn("8 comparisons were made", self.js("document.getElementById('verdict').innerText"))
        looks = self.js("[...document.querySelectorAll('#loss .legend li .glyph[style]')].map(g => g.textContent + g.style.color)")
        self.assertEqual(len(set(looks)), 9)
        self.assert_silent()

    def test_tables_sort_and_selects_redraw(self):
        self.open("one")
        d = self.driver
        first = lambda: self.js("document.querySelector('#cells tbody td:nth-child(8)').innerText")
        heading = d.find_element("xpath", "//section[@id='cells']//th[normalize-space()='final loss']/button")
        d.execute_script("arguments[0].click()", heading)
        lowest = first()
        self.assertEqual(lowest, min(self.js("[...document.querySelectorAll('#cells tbody td:nth-child(8)')]"
                                             ".map(t => t.innerText).filter(t => t != 'NaN')")))
        d.execute_script("arguments[0].click()", heading)
        self.assertNotEqual(first(), lowest)
        before = self.js("document.querySelector('#heads figcaption').parentElement.innerText")
        for select in d.find_elements("css selector", "#heads select, #training select"):
            Select(select).select_by_index(1)
        self.assertNotEqual(self.js("document.querySelector('#heads figcaption').parentElement.innerText"), before)
        self.assert_silent()

    def test_fits_phones_and_desktops_in_light_and_dark(self):
        for kind in ("one", "two_sizes", "refined", "arms"):
            for width, dark in ((390, True), (1280, False)):
                with self.subTest(kind=kind, width=width):
                    self.open(kind, width, dark)
                    self.assertLessEqual(self.js("document.documentElement.scrollWidth"),
                                         self.js("document.documentElement.clientWidth"))
                    wide = self.js("[...document.querySelectorAll('main svg, main canvas, figure, section')].filter("
                                   "e => e.getBoundingClientRect().right > innerWidth + 1).length")
                    self.assertEqual(wide, 0)
                    self.assert_silent()
        self.open("one", dark=True)
        self.assertLess(self.js("Number(/\\d+/.exec(getComputedStyle(document.body).backgroundColor)[0])"), 60)

    def test_can_be_read_without_seeing_the_charts(self):
        self.open("one")
        unnamed = self.js("[...document.querySelectorAll('figure')].filter("
                          "f => !f.querySelector('[role=img][aria-label]')).length")
        self.assertEqual(unnamed, 0)
        self.assertGreaterEqual(self.js("document.querySelectorAll('details.data table').length"), 5)
        self.assertEqual(self.js("document.documentElement.lang"), "en")

    def test_loads_nothing(self):
        self.open("one")
        requests = [m["message"] for m in self.driver.get_log("performance")
                    if '"Network.requestWillBeSent"' in m["message"]]
        outside = [u for m in requests for u in re.findall(r'"url":"([^"]+)"', m) if not u.startswith(("file:", "data:"))]
        self.assertEqual(outside, [])

    def test_hostile_words_stay_words(self):
        self.open("hostile")
        self.assertNotEqual(self.driver.title, "owned")
        self.assertIn("</script>", self.js("document.querySelector('h1').innerText"))
        self.assertEqual(self.js("document.querySelectorAll('img').length"), 0)
        self.assert_silent()

    def test_final_losses_alone_make_a_report(self):
        folder = pathlib.Path(self.folder.name)
        rows = ["run,step,loss,lr,params,size,seed,arm,l0"]
        for i, (lr, loss) in enumerate(zip((3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
                                           (3.40, 3.20, 3.10, 3.00, 3.05, 7.0, "nan"))):
            if loss == 7.0:
                rows.append(f"r{i},50000,3.2,{lr},98304,d64,1,base,5")
            rows.append(f"r{i},100000,{loss},{lr},98304,d64,1,base,5")
        (folder / "losses.csv").write_text("\n".join(rows) + "\n")
        subprocess.run([BIN / "evenkeel", "import", folder / "losses.csv", "--format", "csv", "--map",
                        "run=run,step=step,loss=loss,lr=lr,params=params,size=size,seed=seed,arm=arm,l0=l0",
                        "--out", folder / "imported"], check=True, stdout=subprocess.DEVNULL)
        told = subprocess.run([BIN / "evenkeel", "analyze", folder / "imported", "--json"], check=True,
                              capture_output=True, text=True)
        self.assertEqual(told.stderr, "")
        curve, = json.loads(told.stdout)["curves"]
        self.assertAlmostEqual(curve["sensitivity"]["paper"], 4.75 / 7, places=12)
        self.assertEqual([p["label"] for p in curve["points"]], ["finished"] * 5 + ["degraded", "nonfinite"])
        self.assertEqual((curve["points"][-1]["loss"], curve["points"][-1]["nonfinite"]), (None, "loss=nan"))
        subprocess.run([BIN / "evenkeel", "report", folder / "imported"], check=True, stdout=subprocess.DEVNULL)
        self.open("imported")
        text = self.js("document.getElementById('report').innerText")
        self.assertIn("recorded no attention statistics", text)
        self.assertIn("degraded, relapsed at step 100000", text)
        self.assertIn("nonfinite at step 100000", text)
        self.assertIn("0.679", text)
        self.assert_silent()

    def test_sizes_stand_beside_each_other(self):
        self.open("two_sizes")
        marks = lambda what: self.js(f"document.querySelectorAll('#size svg {what}').length")
        # One line per arm in each panel, a point per size.
        self.assertEqual(self.js("document.querySelectorAll('#size .panel svg').length"), 2)
        self.assertGreaterEqual(marks("g[aria-label=line] path"), 3)
        rows = self.js("[...document.querySelectorAll('#size tbody tr')].map(r => [...r.children].map(t => t.textContent))")
        self.assertEqual(len(rows), 4)
        self.assertEqual({row[1] for row in rows}, {"d64", "d128"})
        choices = self.js("[...document.querySelectorAll('#explore select')].map(s => s.value)")
        self.assertEqual(choices, ["largest attention logit", "parameters N"])
        self.assert_silent()

    def test_missing_cells_are_said(self):
        self.open("two_sizes")
        text = self.js("document.getElementById('report').innerText")
        self.assertIn("1 of 48 cells have not ended", text)
        self.assertIn("1 seed of qk_norm=per_head is left out: cells are missing", text)
        self.assertIn("qk_norm=per_head, size d128: 1 seed left out of the boundary LR, since cells are missing.", text)
        self.assertIn("is not resolved", text)


if __name__ == "__main__":
    unittest.main()

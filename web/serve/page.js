/* The page to try the models. All it knows comes from three routes: the models, a model's signature, predictions with
 * their explanations. What the server sends is only ever set as text. */
(function () {
"use strict";
const $ = (id) => document.getElementById(id);
const BARS = 8, FEW_INPUTS = 20, DAY_US = 86400e6, CATEGORIES_LISTED = 100;

let token = "";        // bearer token, in this memory only
let signature = null;  // of the chosen model
let fields = [];       // of its form, in the model's order
let answer = null;     // the last prediction
let allBars = false;   // all contributions are shown, not only the largest

/* What the server, or a control, refuses; `field` is the input's name when it is about one. */
class Refusal extends Error {
  constructor(status, message, field) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/* A name that may go on in the next line behind its punctuation. */
function breakable(name) {
  return name.split(/(?<=[_.:/-])/).flatMap((part, i) => i ? [el("wbr"), part] : [part]);
}

/* --- numbers as text ----------------------------------------------------------------------------------------- */

const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const numberText = (x) => Number.isSafeInteger(x) ? x.toLocaleString("en") : significant.format(x);

/* Enough digits to tell it from 0 and from 1. */
function percent(p) {
  const room = Math.min(p, 1 - p);
  const digits = room > 0 ? Math.min(6, Math.max(1, Math.ceil(-Math.log10(room * 100)) + 1)) : 0;
  return (100 * p).toFixed(digits) + "%";
}

function signed(x, digits) {
  const text = Math.abs(x).toFixed(digits);
  return (Number(text) === 0 ? "" : x < 0 ? "\u2212" : "+") + text;
}

/* --- theme: remembered together with the report's -------------------------------------------------------------- */

function setUpTheme() {
  const root = document.documentElement, button = $("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const asked = new URLSearchParams(location.search).get("theme");
  const remembered = () => { try { return localStorage.getItem("quern-theme"); } catch { return null; } };
  const set = (theme) => {
    root.dataset.theme = root.style.colorScheme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", "Change to " + (theme === "dark" ? "light" : "dark") + " colours");
  };
  set(asked || remembered() || (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => remembered() || set(dark.matches ? "dark" : "light"));
  button.hidden = false;
  button.addEventListener("click", () => {
    set(root.dataset.theme === "dark" ? "light" : "dark");
    try { localStorage.setItem("quern-theme", root.dataset.theme); } catch { /* then it is not remembered */ }
  });
}

/* --- the server ------------------------------------------------------------------------------------------------ */

const modelPath = (name, what) => "v1/models/" + encodeURIComponent(name) + "/" + what;

/* The text of a good answer. */
async function ask(path, body, signal) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  if (token) headers.Authorization = "Bearer " + token;
  try {
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, body, signal, cache: "no-store" });
    const text = await response.text();
    if (response.ok) return text;
    let said = {};
    try { said = JSON.parse(text).error || {}; } catch { /* a proxy's page, perhaps */ }
    throw new Refusal(response.status, said.message || "The server answered " + response.status + ".", said.field);
  } catch (error) {
    if (error instanceof Refusal || error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer. Is it still running?");
  }
}

function showTrouble(error) {
  if (error.status === 401) {
    $("app").hidden = true;
    $("access").hidden = false;
    $("access-error").textContent = token ? "The server does not know this token." : "";
    token = "";
    $("token").focus();
    return;
  }
  $("trouble").textContent = error.message;
  $("trouble").hidden = false;
}

/* --- controls, one kind for each type of input ----------------------------------------------------------------- */
/* A control has nodes, the first of which its label names; read() gives JSON; write(value) is false when the value
 * cannot be shown. */

const seen = (low, high) => low === high ? "seen only " + low : "seen " + low + " to " + high;

function numberControl(input) {
  const whole = input.type === "integer", span = input.high - input.low;
  const exponent = whole || !(span > 0) ? 0 : Math.floor(Math.log10(span / 100));
  const box = el("input", { type: "number", step: whole ? 1 : 10 ** exponent, autocomplete: "off" });
  if (input.low >= 0) box.inputMode = whole ? "numeric" : "decimal"; // that of some phones has no minus
  const control = {
    nodes: [box],
    hint: Number.isFinite(span) ? seen(numberText(input.low), numberText(input.high)) : "",
    read() {
      if (box.value === "" && box.validity.badInput) throw new Refusal(0, "this is not a number", input.name);
      if (box.value === "") return "null";
      return /^-?(0|[1-9]\d*)$/.test(box.value) ? box.value : JSON.stringify(Number(box.value));
    },
    write(value) {
      const text = String(typeof value === "boolean" ? Number(value) : value).trim();
      if (!/^-?\d*\.?\d+(e[-+]?\d+)?$/i.test(text)) return false;
      box.value = text;
      if (control.slider) control.slider.value = box.value;
      return box.value !== "";
    },
  };
  if (span > 0) { /* the same once more for the mouse: the keyboard has the box */
    const slider = control.slider = el("input", {
      type: "range", min: input.low, max: input.high, step: whole ? 1 : 10 ** exponent, tabIndex: -1,
      "aria-label": input.name + ", slider",
    });
    slider.addEventListener("input", () => { box.value = Number(slider.value).toFixed(Math.max(0, -exponent)); });
    box.addEventListener("input", () => { slider.value = box.value; });
    control.nodes.push(slider);
  }
  return control;
}

function timeText(us) {
  const time = new Date(us / 1000);
  return isNaN(time) ? "" : time.toISOString().slice(0, 19);
}

/* Times have no zone here: what the server takes for UTC. */
function timeControl(input) {
  const days = input.low % DAY_US === 0 && input.high % DAY_US === 0;
  const box = el("input", { type: days ? "date" : "datetime-local", step: days ? 1 : "1" });
  const shown = (us) => days ? timeText(us).slice(0, 10) : timeText(us).replace("T", " ");
  return {
    nodes: [box],
    hint: Number.isFinite(input.low) ? seen(shown(input.low), shown(input.high)) : "",
    read() {
      if (box.value === "" && box.validity.badInput) throw new Refusal(0, "this is not a whole time", input.name);
      return box.value === "" ? "null" : JSON.stringify(box.value);
    },
    write(value) {
      let text = String(value).trim().replace(" ", "T");
      if (/^-?\d{9,}$/.test(text)) text = timeText(Number(text)); // microseconds
      if (/T[\d:.]+$/.test(text)) text += "Z";
      const full = timeText(Date.parse(text) * 1000), midnight = full.endsWith("T00:00:00");
      box.type = days && midnight ? "date" : "datetime-local";
      box.value = box.type === "date" ? full.slice(0, 10) : full;
      return box.value !== "";
    },
  };
}

/* Values to choose from; `open`: others may be typed. */
function choiceControl(input, values, open) {
  const list = el("select"), other = el("input", {
    type: "text", className: "other", hidden: true, autocomplete: "off", spellcheck: false,
    "aria-label": input.name + ", another value", placeholder: "another value",
  });
  values.forEach((value, i) => list.add(new Option(value, i)));
  if (open) list.add(new Option("another value\u2026", -1));
  const showOther = () => { other.hidden = list.value !== "-1"; };
  list.addEventListener("change", () => { showOther(); if (!other.hidden) other.focus(); });
  const n = values.length;
  showOther();
  return {
    nodes: open ? [list, other] : [list],
    hint: !open ? "" : n >= CATEGORIES_LISTED ? "the " + n + " commonest values"
      : n + (n === 1 ? " known value" : " known values"),
    read: () => JSON.stringify(list.value === "-1" ? other.value : values[list.value]),
    write(value) {
      if (value !== null && typeof value === "object") return false;
      const i = values.indexOf(String(value));
      if (i < 0 && !open) return false;
      list.value = i;
      if (i < 0) other.value = value;
      showOther();
      return true;
    },
  };
}

function boolControl(input) {
  const control = choiceControl(input, ["true", "false"], false), write = control.write, read = control.read;
  control.read = () => JSON.parse(read());
  control.write = (value) => write(String(value) === "1" ? "true" : String(value) === "0" ? "false" : value);
  return control;
}

function textControl() {
  const box = el("textarea", { rows: 4, placeholder: "Type a text" });
  return {
    nodes: [box], wide: true, hint: "empty counts as unknown",
    read: () => JSON.stringify(box.value),
    write(value) {
      box.value = typeof value === "object" ? "" : value;
      return typeof value !== "object";
    },
  };
}

function makeControl(input) {
  switch (input.type) {
  case "integer": case "number": return numberControl(input);
  case "time": return timeControl(input);
  case "bool": return boolControl(input);
  case "category": return choiceControl(input, input.categories || [], true);
  default: return textControl();
  }
}

/* --- the form -------------------------------------------------------------------------------------------------- */

function makeField(input, i) {
  const control = makeControl(input), id = "input-" + i, main = control.nodes[0];
  const unknown = el("input", { type: "checkbox", "aria-label": input.name + " is unknown" });
  const problem = el("p", { className: "problem", id: id + "-problem" });
  const missing = input.missing_share > 0 ? percent(input.missing_share) + " unknown" : "";
  main.id = id;
  main.setAttribute("aria-describedby", id + "-hint " + id + "-problem");
  const node = el("div", { className: control.wide ? "field wide" : "field" },
    el("label", { className: "name", htmlFor: id }, ...breakable(input.name)),
    ...control.nodes,
    el("p", { className: "hint", id: id + "-hint" }, el("span", null, control.hint), el("span", null, missing)),
    problem,
    el("label", { className: "check" }, unknown, "unknown"));
  const field = {
    input, node, main, contribution: 0, answered: "null",
    json: () => unknown.checked ? "null" : control.read(),
    setUnknown(on) {
      unknown.checked = on;
      control.nodes.forEach((part) => { part.disabled = on; });
    },
    /* False: the value does not fit, and the field is unknown instead. */
    fill(value) {
      const good = value === null || control.write(value);
      field.setUnknown(value === null || !good);
      return good;
    },
    complain(text) {
      problem.textContent = text;
      if (text) main.setAttribute("aria-invalid", "true");
      else main.removeAttribute("aria-invalid");
    },
  };
  unknown.addEventListener("change", () => field.setUnknown(unknown.checked));
  return field;
}

/* The middle of what training saw; models that do not keep it show the middle of the range. */
function typicalValue(input) {
  if (input.type === "text") return "";
  if (input.missing_share > 0.5) return null;
  if (input.type === "integer" && input.typical !== undefined) return Math.round(input.typical);
  if (input.typical !== undefined) return input.typical;
  if (input.type === "bool") return true;
  if (input.categories && input.categories.length) return input.categories[0];
  if (!Number.isFinite(input.low)) return null;
  const middle = (input.low + input.high) / 2;
  return input.type === "number" ? Number(middle.toPrecision(6)) : Math.floor(middle);
}

function fillTypical() {
  fields.forEach((field) => field.fill(typicalValue(field.input)));
}

/* The row as JSON, written by hand: numbers go as they were typed, digit by digit. */
function rowText(values, separator) {
  const members = fields.map((field, i) => JSON.stringify(field.input.name) + ": " + values[i]);
  return "{" + members.join("," + separator) + "}";
}

const formValues = () => fields.map((field) => field.json());

/* Numbers stay text where the browser tells their text: a double would lose digits of the longest. */
function parseRow(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && context && context.source ? context.source : value);
}

/* What a row does not name becomes unknown. Gives the names that the row lacks, has in vain, or has unfit. */
function fillFrom(row) {
  const told = { absent: [], unfit: [], extra: [] };
  for (const field of fields) {
    const name = field.input.name, has = Object.hasOwn(row, name);
    if (!has) told.absent.push(name);
    if (!field.fill(has ? row[name] : null)) told.unfit.push(name);
  }
  const names = new Set(fields.map((field) => field.input.name));
  told.extra = Object.keys(row).filter((name) => !names.has(name));
  return told;
}

function filterFields() {
  const wanted = $("filter").value.trim().toLowerCase();
  let n = 0;
  for (const field of fields) {
    field.node.hidden = !field.input.name.toLowerCase().includes(wanted);
    n += !field.node.hidden;
  }
  $("found").textContent = wanted ? n + " of " + fields.length : fields.length + " inputs";
}

/* Not while someone works in it: a field must not run away from under the fingers. */
function orderFields() {
  if ($("fields").contains(document.activeElement)) return;
  const order = fields.slice();
  if ($("strongest").checked) order.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  if (order.some((field, i) => $("fields").children[i] !== field.node))
    $("fields").replaceChildren(...order.map((field) => field.node));
}

function buildForm() {
  fields = signature.inputs.map(makeField);
  $("fields").replaceChildren(...fields.map((field) => field.node));
  $("finding").hidden = fields.length <= FEW_INPUTS;
  $("filter").value = "";
  $("strongest").checked = fields.length > FEW_INPUTS;
  filterFields();
}

function pasteRow() {
  const status = $("filled"), list = (names) => names.slice(0, 5).join(", ") + (names.length > 5 ? " and others" : "");
  let row;
  try { row = parseRow($("row").value); } catch (error) {
    status.textContent = "This is not JSON: " + error.message;
    return;
  }
  const many = Array.isArray(row) && row.length > 1;
  if (Array.isArray(row)) row = row[0];
  if (row === null || typeof row !== "object" || Array.isArray(row)) {
    status.textContent = "A row is an object, as {\"name\": value, \u2026}.";
    return;
  }
  const told = fillFrom(row), said = [many ? "Filled from the first row." : "Filled."];
  if (told.absent.length) said.push("Not in it, so unknown: " + list(told.absent) + ".");
  if (told.unfit.length) said.push("Does not fit, so unknown: " + list(told.unfit) + ".");
  if (told.extra.length) said.push("Not an input: " + list(told.extra) + ".");
  status.textContent = said.join(" ");
  predict(false);
}

/* --- prediction ------------------------------------------------------------------------------------------------ */

let timer = 0, pending = null;

function predictSoon() {
  clearTimeout(timer);
  timer = setTimeout(predict, 200, false);
}

async function predict(swapped) {
  clearTimeout(timer);
  if (pending) pending.abort();
  const mine = pending = new AbortController(), path = modelPath(signature.model, "predict?explain=true");
  try {
    const values = formValues(), body = rowText(values, " ");
    showRequest(path, values);
    const text = await ask(path, body, mine.signal);
    if (pending !== mine) return;
    answer = JSON.parse(text);
    if (answer.version !== signature.version && !swapped) { // it was swapped meanwhile
      await loadModel(signature.model, true);
      return;
    }
    fields.forEach((field, i) => { field.answered = values[i]; });
    blocks.answer.textContent = text.trim();
    complain(null);
    showAnswer();
  } catch (error) {
    if (error.name === "AbortError" || pending !== mine) return;
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401) showTrouble(error);
    else complain(error);
  }
}

/* Shows what is wrong at the field it is about, and that the answer is of an earlier row. */
function complain(error) {
  const about = error && fields.find((field) => field.input.name === error.field);
  let message = error ? error.message : "";
  for (const where of ["row 1, column " + (error && error.field) + ": ", "row 1: "])
    if (message.startsWith(where)) message = message.slice(where.length); // there is one row, and the field is shown
  fields.forEach((field) => field.complain(field === about ? message : ""));
  if (about && about.node.hidden) {
    $("filter").value = "";
    filterFields();
  }
  for (const id of ["answer", "why"]) $(id).classList.toggle("stale", Boolean(error));
  $("problem").hidden = !error;
  const where = about ? " \u201c" + error.field + "\u201d:" : "";
  $("problem").textContent = error ? "Not predicted:" + where + " " + message : "";
  if (error) $("spoken").textContent = $("problem").textContent;
}

function showAnswer() {
  const label = signature.task === "regression" ? numberText(answer.prediction) : String(answer.prediction);
  $("target").textContent = "Predicted " + signature.target;
  $("label").textContent = label;
  $("label").classList.toggle("long", label.length > 16);
  let spoken = "Predicted " + signature.target + ": " + label;
  if (signature.task === "binary")
    spoken += showProbability(signature.classes[1], answer.probability, signature.threshold);
  else if (signature.task === "multiclass") spoken += showProbabilities(answer.probabilities);
  else $("score").replaceChildren();
  $("spoken").textContent = spoken;
  showExplanation();
  orderFields();
}

function bar(share) {
  const node = el("i");
  node.style.width = 100 * share + "%";
  return node;
}

function showProbability(positive, p, threshold) {
  const mark = el("b"), mid = el("span", { className: "mid" }, "threshold " + percent(threshold));
  mark.style.left = mid.style.left = 100 * threshold + "%";
  mid.classList.toggle("first", threshold < 0.15);
  mid.classList.toggle("last", threshold > 0.85);
  const ticks = el("div", { className: "ticks", "aria-hidden": "true" }, mid);
  if (threshold > 0.3) ticks.prepend(el("span", { className: "zero" }, "0%"));
  if (threshold < 0.7) ticks.append(el("span", { className: "one" }, "100%"));
  const said = el("p", null, el("strong", null, percent(p)), " that it is \u201c" + positive + "\u201d");
  $("score").replaceChildren(said, el("div", { className: "scale", "aria-hidden": "true" }, bar(p), mark), ticks,
    el("p", { className: "hidden" }, "The answer is " + positive + " from " + percent(threshold) + " on."));
  return ", " + percent(p) + " that it is " + positive;
}

function showProbabilities(probabilities) {
  const ordered = Object.entries(probabilities).sort((a, b) => b[1] - a[1]), said = String(answer.prediction);
  const list = el("ol", { className: "chances" });
  for (const [name, p] of ordered.slice(0, 12))
    list.append(el("li", { className: name === said ? "first" : "" }, el("span", { className: "name" }, name),
      el("span", { className: "track", "aria-hidden": "true" }, bar(p)), el("span", { className: "num" }, percent(p))));
  $("score").replaceChildren(list);
  if (ordered.length > 12)
    $("score").append(el("p", { className: "soft" }, "and " + (ordered.length - 12) + " less likely classes"));
  return ", probability " + percent(probabilities[said]);
}

/* --- explanation ----------------------------------------------------------------------------------------------- */

const RAW = {
  logit: "Raw score (log-odds)", softmax: "Raw score", log: "Raw score (logarithm)", identity: "Prediction",
};

/* The explained class is the predicted one until another is chosen. */
function explanation() {
  if (signature.task !== "multiclass") return answer.explanation;
  return answer.explanation[$("class").value || String(answer.prediction)];
}

function valueText(json) {
  const value = JSON.parse(json);
  if (value === null || value === "") return "unknown";
  return typeof value === "number" ? json : String(value);
}

function showExplanation() {
  const told = explanation();
  $("why").hidden = !told;
  if (!told) return;
  for (const field of fields) field.contribution = told.contributions[field.input.name] || 0;
  const ordered = fields.slice().sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const shown = allBars ? ordered : ordered.slice(0, BARS), rest = ordered.slice(shown.length);
  const total = (list) => list.reduce((sum, field) => sum + field.contribution, 0);
  const raw = told.base_value + total(ordered);
  /* The bars of both directions share the width; half of it each where there are none. */
  const most = Math.max(0, ...shown.map((field) => field.contribution));
  const least = Math.min(0, ...shown.map((field) => field.contribution)), span = most - least;
  const digits = Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(Math.max(most, -least) || 1))));
  $("why").style.setProperty("--zero", (span ? 100 * -least / span : 50) + "%");

  $("bars").replaceChildren(...shown.map((field) => {
    const share = bar(span ? Math.abs(field.contribution) / span : 0);
    share.classList.toggle("less", field.contribution < 0);
    return el("tr", null,
      el("th", { scope: "row" }, ...breakable(field.input.name), el("span", null, valueText(field.answered))),
      el("td", { "aria-hidden": "true" }, el("div", { className: "diverge" }, share)),
      el("td", { className: "num" }, signed(field.contribution, digits)));
  }));
  const line = (name, x) => el("tr", null, el("th", { scope: "row", colSpan: 2 }, name),
    el("td", { className: "num" }, signed(x, digits)));
  $("sums").replaceChildren(
    ...(rest.length ? [line(rest.length + (rest.length === 1 ? " other" : " others"), total(rest))] : []),
    line("Base value", told.base_value), line(RAW[signature.link] || "Raw score", raw));
  $("sums").dataset.raw = raw; // in full, for programs that look at the page
  $("more").hidden = ordered.length <= BARS;
  $("more").textContent = allBars ? "Show the largest " + BARS : "Show all " + ordered.length;
  showReading();
}

/* How to read the bars. */
function showReading() {
  const up = el("span", { className: "more" }, "Blue"), down = el("span", { className: "less-word" }, "orange");
  const label = signature.task === "binary" ? signature.classes[1] : $("class").value || String(answer.prediction);
  $("reading").replaceChildren(...(signature.task === "regression"
    ? [up, " raises the prediction, ", down, " lowers it."]
    : [up, " speaks for \u201c" + label + "\u201d, ", down, " against it."]));
  if (signature.link === "identity") $("reading").append(" Together with the base value they are the prediction.");
  else $("reading").append(" Together with the base value they are the raw score, from which the prediction comes.");
}

/* --- the request as text --------------------------------------------------------------------------------------- */

const blocks = {};

async function copy(pre, button) {
  try { await navigator.clipboard.writeText(pre.textContent); } catch { // only pages over HTTPS may
    getSelection().selectAllChildren(pre);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function addBlock(key, title, wide) {
  const pre = blocks[key] = el("pre", { tabIndex: 0, role: "region", "aria-label": title });
  const button = el("button", { type: "button", className: "quiet", "aria-label": "Copy: " + title }, "Copy");
  button.addEventListener("click", () => copy(pre, button));
  $("blocks").append(el("div", { className: wide ? "block wide" : "block" },
    el("div", { className: "between" }, el("h3", null, title), button), pre));
}

function showRequest(path, values) {
  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  blocks.curl.textContent = "curl " + quoted(new URL(path, document.baseURI).href) + " \\\n" +
    (token ? "  -H \"Authorization: Bearer $TOKEN\" \\\n" : "") +
    "  -H 'Content-Type: application/json' \\\n  -d " + quoted(rowText(values, " "));
  blocks.request.textContent = rowText(values, "\n ");
}

/* --- models ---------------------------------------------------------------------------------------------------- */

const FAMILIES = { gbdt: "gradient-boosted trees", linear: "linear model", stump: "one rule", prior: "no inputs used" };

function showFacts() {
  const made = new Date(signature.made), n = signature.inputs.length;
  const date = isNaN(made) ? "" : made.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  $("facts").replaceChildren(
    "version " + signature.version + ", made ", el("time", { dateTime: signature.made }, date),
    " \u00b7 predicts \u201c" + signature.target + "\u201d (" + signature.task + ") with " +
    (FAMILIES[signature.family] || signature.family) + " from " + n + (n === 1 ? " input" : " inputs"));
}

/* Also when a version replaced the one that is shown: the row stays as far as it fits. */
async function loadModel(name, swapped) {
  const loaded = JSON.parse(await ask(modelPath(name, "signature"))), before = signature;
  if ($("model").value !== name) return; // another was chosen meanwhile
  const same = swapped && JSON.stringify(before.inputs) === JSON.stringify(loaded.inputs);
  const row = swapped && !same ? parseRow(rowText(formValues(), " ")) : null;
  signature = loaded;
  if (!same) buildForm();
  if (row) fillFrom(row);
  else if (!same) fillTypical();
  $("classes").hidden = signature.task !== "multiclass";
  $("class").replaceChildren(new Option("the predicted one", ""),
    ...(signature.classes || []).map((label) => new Option(label, label)));
  $("trouble").hidden = true;
  showFacts();
  document.title = "Quern: try " + name;
  await predict(swapped);
}

async function choose(name) {
  $("model").value = name;
  try {
    if (pending) pending.abort();
    $("score").replaceChildren();
    $("label").textContent = "\u2026";
    $("why").hidden = true;
    allBars = false;
    $("row").value = $("filled").textContent = "";
    await loadModel(name, false);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    showTrouble(error);
  }
}

async function start() {
  try {
    const models = JSON.parse(await ask("v1/models")).models;
    $("access").hidden = true;
    if (!models.length) throw new Refusal(0, "This server holds no models yet: promote one, and load this page again.");
    $("model").replaceChildren(...models.map((model) =>
      new Option(model.model + " \u2013 version " + model.version + ", " + model.task, model.model)));
    $("app").hidden = false;
    const asked = models.find((model) => "#" + encodeURIComponent(model.model) === location.hash);
    await choose((asked || models[0]).model);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    showTrouble(error);
  }
}

function setUpEvents() {
  $("access").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token").value.trim();
    $("token").value = "";
    if (/^[\x21-\x7e]+$/.test(token)) start();
    else $("access-error").textContent = "A token has letters, digits and signs only, without spaces.";
  });
  $("model").addEventListener("change", () => {
    history.replaceState(null, "", "#" + encodeURIComponent($("model").value));
    choose($("model").value);
  });
  $("form").addEventListener("submit", (event) => { event.preventDefault(); predict(false); });
  $("fields").addEventListener("input", predictSoon);
  $("typical").addEventListener("click", () => { fillTypical(); predict(false); });
  $("filter").addEventListener("input", filterFields);
  $("strongest").addEventListener("change", orderFields);
  $("fill").addEventListener("click", pasteRow);
  $("row").addEventListener("paste", () => setTimeout(pasteRow));
  $("class").addEventListener("change", () => { showExplanation(); orderFields(); });
  $("more").addEventListener("click", () => { allBars = !allBars; showExplanation(); });
}

setUpTheme();
setUpEvents();
addBlock("curl", "curl", true);
addBlock("request", "Request");
addBlock("answer", "Answer");
start();
})();

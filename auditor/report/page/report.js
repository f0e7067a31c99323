"use strict";
// The explorable matrix. What it shows comes from the JSON in #matrix and is written as text, never as markup.
(() => {
  const source = document.getElementById("matrix");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const asEnd = ([name, group, workload, node, row], number) => ({ name, group, workload, node, row, number });
  const ends = data.ends.map(asEnd);
  const digit = new Map([...data.alphabet].map((character, value) => [character, value]));
  const rows = data.rows.map((text) => {
    const numbers = new Uint32Array(ends.length);
    for (let place = 0; place < ends.length; place++) {
      let value = 0;
      for (let at = 0; at < data.width; at++) value = value * 64 + digit.get(text[place * data.width + at]);
      numbers[place] = value;
    }
    return numbers;
  });
  const squareOf = (from, to) => data.squares[rows[ends[from].row][to]];
  const marks = Int8Array.from(data.squares, (square) => square[0]);
  const markOf = (from, to) => marks[rows[ends[from].row][to]];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const COLOURS = {
    leak: ["#cf222e", "#ffffff"], outage: ["#8250df", "#ffffff"], misdelivered: ["#d4a72c", "#1b1f24"],
    unstable: ["#d4a72c", "#1b1f24"], inconclusive: ["#ffe08a", "#1b1f24"], undecided: ["#9bd7e5", "#1b1f24"],
    allowed: ["#2da44e", "#ffffff"], some: ["#a6dcb3", "#1b1f24"], denied: ["#e4e8ec", "#57606a"],
    skipped: ["#f6f8fa", "#57606a"],
  };
  const DARK = { denied: ["#272d35", "#9da7b3"], skipped: ["#161b22", "#9da7b3"] };
  const colour = (mark) => {
    const name = data.marks[mark].name;
    return (dark.matches && DARK[name]) || COLOURS[name] || COLOURS.skipped;
  };

  // ------------------------------------------------------------------ groups: namespaces, workloads, endpoints
  const element = (id) => document.getElementById(id);
  const board = element("board"), canvas = element("squares"), chosen = element("chosen"), said = element("said");
  const from = element("filter-from"), to = element("filter-to"), kind = element("filter-kind");
  const MOST_AT_FIRST = 80;
  const tree = new Map();
  for (const end of ends) {
    if (!tree.has(end.group)) tree.set(end.group, new Map());
    const workloads = tree.get(end.group), key = end.workload ? `${end.group}/${end.workload}` : end.name;
    if (!workloads.has(key)) workloads.set(key, []);
    workloads.get(key).push(end.number);
  }
  const open = new Set();
  let isAllOpen = false;
  if (ends.length <= MOST_AT_FIRST) openAll();
  else if ([...tree.values()].reduce((sum, workloads) => sum + workloads.size, 0) <= MOST_AT_FIRST) {
    for (const group of tree.keys()) open.add(group);
  }

  function openAll() {
    isAllOpen = true;
    for (const [group, workloads] of tree) {
      open.add(group);
      for (const key of workloads.keys()) open.add(key);
    }
  }

  function axis(wanted) {
    const items = [];
    for (const [group, workloads] of tree) {
      const members = [...workloads.values()].flat().filter((number) => wanted.has(number));
      if (!members.length) continue;
      if (!open.has(group) && members.length > 1) {
        items.push({ label: `${group} (${members.length})`, members, key: group });
        continue;
      }
      for (const [key, all] of workloads) {
        const some = all.filter((number) => wanted.has(number));
        if (some.length > 1 && !open.has(key)) items.push({ label: `${key} (${some.length})`, members: some, key });
        else for (const number of some) items.push({ label: ends[number].name, members: [number], key: null });
      }
    }
    return items;
  }

  const textOf = (end) => `${end.name} ${end.workload} ${end.node}`.toLowerCase();
  const matches = (end, words) => words.every((word) => textOf(end).includes(word));
  const wordsOf = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);

  // ------------------------------------------------------------------ state: what is shown, and where one stands
  let across = [], down = [], at = null;

  function refresh() {
    const sources = wordsOf(from), destinations = wordsOf(to), mark = kind.value === "" ? null : Number(kind.value);
    let rowsWanted = ends.filter((end) => matches(end, sources)).map((end) => end.number);
    let columnsWanted = ends.filter((end) => matches(end, destinations)).map((end) => end.number);
    if (mark !== null) {
      const fits = (value) => (mark === -2 ? value >= 0 && data.marks[value].finding : value === mark);
      const inRow = new Set(), inColumn = new Set();
      for (const row of rowsWanted) for (const column of columnsWanted) {
        if (fits(markOf(row, column))) { inRow.add(row); inColumn.add(column); }
      }
      rowsWanted = rowsWanted.filter((number) => inRow.has(number));
      columnsWanted = columnsWanted.filter((number) => inColumn.has(number));
    }
    down = axis(new Set(rowsWanted));
    across = axis(new Set(columnsWanted));
    if (at && (at.row >= down.length || at.column >= across.length)) at = null;
    said.textContent = down.length && across.length
      ? `${rowsWanted.length} source${rowsWanted.length === 1 ? "" : "s"}, ${columnsWanted.length} destination${columnsWanted.length === 1 ? "" : "s"}`
      : "Nothing here: change the filters.";
    draw();
  }

  function summary(row, column) {
    const counts = new Map();
    for (const one of down[row].members) for (const other of across[column].members) {
      const mark = markOf(one, other);
      if (mark >= 0) counts.set(mark, (counts.get(mark) || 0) + 1);
    }
    return { mark: counts.size ? Math.min(...counts.keys()) : -1, counts };
  }

  // A group shows its worst: a finding; else that some of it is open where not all of it is alike.
  const some = data.marks.findIndex((each) => each.name === "some");

  function shownMark(row, column) {
    if (down[row].members.length === 1 && across[column].members.length === 1) {
      return markOf(down[row].members[0], across[column].members[0]);
    }
    const { mark, counts } = summary(row, column);
    return mark < 0 || data.marks[mark].finding || counts.size < 2 || some < 0 ? mark : some;
  }

  // ------------------------------------------------------------------ drawing
  const FONT = "12px ui-monospace, 'Liberation Mono', 'DejaVu Sans Mono', monospace";
  let size = 18, left = 0, top_ = 0;

  function draw() {
    const context = canvas.getContext("2d"), scale = window.devicePixelRatio || 1;
    const styles = getComputedStyle(document.documentElement);
    const ink = styles.getPropertyValue("--text"), ground = styles.getPropertyValue("--ground");
    context.font = FONT;
    const room = (item) => context.measureText(item.label).width;
    const longest = (items) => Math.min(280, Math.max(0, ...items.map(room)));
    left = Math.ceil(longest(down)) + 14;
    top_ = Math.ceil(longest(across)) + 14;
    size = Math.max(across.length, down.length) > 150 ? 9 : Math.max(across.length, down.length) > 60 ? 13 : 19;
    const width = left + across.length * size + 8, height = top_ + down.length * size + 8;
    const limit = 16000;  // browsers draw nothing on a larger canvas
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const ratio = Math.min(scale, limit / width, limit / height);
    canvas.width = Math.floor(width * ratio);
    canvas.height = Math.floor(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
    context.textBaseline = "middle";
    if (size < 10) paint(context);
    else drawSquares(context);
    context.font = size > 10 ? FONT : "9px ui-monospace, 'Liberation Mono', monospace";
    for (let row = 0; row < down.length; row++) {
      context.textAlign = "right";
      context.fillStyle = ink;
      context.font = `${at && at.row === row ? "bold " : ""}${size > 10 ? FONT : "9px monospace"}`;
      context.fillText(shortened(context, down[row].label, left - 12), left - 6, top_ + row * size + size / 2);
    }
    for (let column = 0; column < across.length; column++) {
      context.save();
      context.translate(left + column * size + size / 2, top_ - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillStyle = ink;
      context.font = `${at && at.column === column ? "bold " : ""}${size > 10 ? FONT : "9px monospace"}`;
      context.fillText(shortened(context, across[column].label, top_ - 12), 0, 0);
      context.restore();
    }
    if (at) {
      context.strokeStyle = styles.getPropertyValue("--focus");
      context.lineWidth = 2;
      context.strokeRect(left, top_ + at.row * size - 1, across.length * size, size + 1);
      context.strokeRect(left + at.column * size - 1, top_, size + 1, down.length * size);
    }
  }

  function drawSquares(context) {
    for (let row = 0; row < down.length; row++) {
      for (let column = 0; column < across.length; column++) {
        const mark = shownMark(row, column);
        if (mark < 0) continue;
        const [fill, letter] = colour(mark);
        const x = left + column * size, y = top_ + row * size;
        context.fillStyle = fill;
        context.fillRect(x, y, size - 1, size - 1);
        if (size > 12 && data.marks[mark].finding) {
          context.fillStyle = letter;
          context.textAlign = "center";
          context.font = `bold ${size - 6}px sans-serif`;
          context.fillText(data.marks[mark].symbol, x + (size - 1) / 2, y + size / 2);
        }
      }
    }
  }

  // Very many squares: a picture with a pixel for each, enlarged.
  function paint(context) {
    if (!across.length || !down.length) return;
    const pixels = new ImageData(across.length, down.length);
    const fills = data.marks.map((_, mark) => parseInt(colour(mark)[0].slice(1), 16));
    for (let row = 0, place = 0; row < down.length; row++) {
      for (let column = 0; column < across.length; column++, place += 4) {
        const mark = shownMark(row, column);
        if (mark < 0) continue;
        pixels.data[place] = fills[mark] >> 16;
        pixels.data[place + 1] = fills[mark] >> 8 & 255;
        pixels.data[place + 2] = fills[mark] & 255;
        pixels.data[place + 3] = 255;
      }
    }
    const small = document.createElement("canvas");
    small.width = across.length;
    small.height = down.length;
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, left, top_, across.length * size, down.length * size);
  }

  function shortened(context, text, room) {
    if (context.measureText(text).width <= room) return text;
    let length = text.length;
    while (length > 4 && context.measureText(`…${text.slice(-length)}`).width > room) length--;
    return `…${text.slice(-length)}`;
  }

  // ------------------------------------------------------------------ what is said of a pair, or of one end
  function make(tag, text, ...children) {
    const node = document.createElement(tag);
    if (text) node.textContent = text;
    node.append(...children);
    return node;
  }

  function button(text, action) {
    const node = make("button", text);
    node.type = "button";
    node.addEventListener("click", action);
    return node;
  }

  function tell() {
    chosen.replaceChildren();
    if (!at) {
      chosen.append(make("p", "Choose a square: what was expected there and what came of it is shown here."));
      return;
    }
    const row = down[at.row], column = across[at.column];
    chosen.append(make("h3", `${row.label} → ${column.label}`));
    const { counts } = summary(at.row, at.column);
    if (row.members.length === 1 && column.members.length === 1) {
      const [mark, ...lines] = squareOf(row.members[0], column.members[0]);
      chosen.append(make("p", mark < 0 ? "No policy has a say here, or nothing was tried." : data.marks[mark].words));
      const list = make("ul");
      for (const line of lines) list.append(make("li", line));
      chosen.append(list);
    } else {
      const list = make("ul");
      for (const [mark, count] of [...counts].sort((a, b) => a[0] - b[0])) {
        list.append(make("li", `${count.toLocaleString("en")} × ${data.marks[mark].words}`));
      }
      chosen.append(list);
    }
    for (const [end, word] of [[row, "source"], [column, "destination"]]) {
      if (end.key) chosen.append(button(`Open the ${word} ${end.label}`, () => { open.add(end.key); change(); }));
    }
    for (const number of [row, column].filter((end) => end.members.length === 1).map((end) => end.members[0])) {
      chosen.append(ways(number));
    }
  }

  function ways(number) {
    const box = make("details", "", make("summary", `Who reaches ${ends[number].name}, and whom it reaches`));
    box.addEventListener("toggle", () => {
      if (!box.open || box.childElementCount > 1) return;
      const directions = [["reaches", (other) => [number, other]], ["is reached by", (other) => [other, number]]];
      for (const [words, pair] of directions) {
        const byText = new Map();
        for (const end of ends) {
          if (end.number === number) continue;
          const [mark, ...lines] = squareOf(...pair(end.number));
          if (mark < 0 || ["denied", "skipped"].includes(data.marks[mark].name)) continue;
          const text = lines.join("; ");
          byText.set(text, [...(byText.get(text) || []), end.name]);
        }
        const list = make("ul");
        for (const [text, names] of byText) {
          const more = names.length > 12 ? ` and ${names.length - 12} more` : "";
          list.append(make("li", `${names.slice(0, 12).join(", ")}${more}: ${text}`));
        }
        box.append(make("p", `${ends[number].name} ${words}`), byText.size ? list : make("p", "nobody"));
      }
    });
    return box;
  }

  // ------------------------------------------------------------------ the address holds the view
  function remember() {
    const parts = new URLSearchParams();
    if (from.value) parts.set("from", from.value);
    if (to.value) parts.set("to", to.value);
    if (kind.value) parts.set("kind", kind.value);
    if (ends.length > MOST_AT_FIRST && open.size) parts.set("open", isAllOpen ? "*" : [...open].join(" "));
    if (at) parts.set("at", `${down[at.row].label}>${across[at.column].label}`);
    history.replaceState(null, "", `#${parts}`);
  }

  function recall() {
    const parts = new URLSearchParams(location.hash.slice(1));
    from.value = parts.get("from") || "";
    to.value = parts.get("to") || "";
    kind.value = parts.get("kind") || "";
    if (parts.get("open") === "*") openAll();
    else for (const key of (parts.get("open") || "").split(" ").filter(Boolean)) open.add(key);
    refresh();
    const [source, destination] = (parts.get("at") || "").split(">");
    const row = down.findIndex((item) => item.label === source);
    const column = across.findIndex((item) => item.label === destination);
    at = row >= 0 && column >= 0 ? { row, column } : null;
    draw();
    tell();
  }

  function change() {
    refresh();
    tell();
    remember();
  }

  function goTo(row, column) {
    at = { row, column };
    draw();
    tell();
    remember();
    const x = left + column * size, y = top_ + row * size;
    if (x < board.scrollLeft + 40) board.scrollLeft = x - 40;
    if (x > board.scrollLeft + board.clientWidth - 40) board.scrollLeft = x - board.clientWidth + 40;
    if (y < board.scrollTop + 40) board.scrollTop = y - 40;
    if (y > board.scrollTop + board.clientHeight - 40) board.scrollTop = y - board.clientHeight + 40;
  }

  function squareAt(event) {
    const area = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - area.left - left) / size);
    const row = Math.floor((event.clientY - area.top - top_) / size);
    return { row, column };
  }

  canvas.addEventListener("mousemove", (event) => {
    const { row, column } = squareAt(event);
    const inside = row >= 0 && row < down.length && column >= 0 && column < across.length;
    canvas.title = inside ? `${down[row].label} → ${across[column].label}` : "";
  });
  canvas.addEventListener("click", (event) => {
    const { row, column } = squareAt(event);
    if (row >= 0 && row < down.length && column >= 0 && column < across.length) goTo(row, column);
    else if (row >= 0 && row < down.length && down[row].key) { open.add(down[row].key); change(); }
    else if (column >= 0 && column < across.length && across[column].key) { open.add(across[column].key); change(); }
  });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key in steps && down.length && across.length) {
      const [rowStep, columnStep] = steps[event.key], here = at || { row: 0, column: 0 };
      const within = (value, most) => Math.min(most - 1, Math.max(0, value));
      goTo(within(here.row + rowStep, down.length), within(here.column + columnStep, across.length));
      event.preventDefault();
    } else if (event.key === "Enter" && at) {
      for (const item of [down[at.row], across[at.column]]) if (item.key) open.add(item.key);
      change();
      event.preventDefault();
    } else if (event.key === "Escape") { at = null; change(); }
  });
  for (const input of [from, to, kind]) input.addEventListener("input", () => { at = null; change(); });
  element("open-all").addEventListener("click", () => { openAll(); change(); });
  element("close-all").addEventListener("click", () => { open.clear(); isAllOpen = false; at = null; change(); });
  dark.addEventListener("change", draw);
  window.addEventListener("hashchange", recall);

  data.marks.forEach((mark, number) => {
    const option = make("option", mark.words);
    option.value = String(number);
    kind.append(option);
    const [fill, letter] = colour(number), swatch = make("span", mark.symbol);
    swatch.className = "swatch";
    swatch.style.background = fill;
    swatch.style.color = letter;
    swatch.setAttribute("aria-hidden", "true");
    element("legend").append(make("li", "", swatch, mark.words));
  });
  if (!data.marks.some((mark) => mark.finding)) kind.querySelector('option[value="-2"]').remove();
  element("explorer").hidden = false;
  recall();
})();

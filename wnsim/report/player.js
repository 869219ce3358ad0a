
// The replay: its state, its controls, and what is shown of an instant.

const part = (id) => document.getElementById(id);

class Player {
  constructor() {
    this.map = new Map2D(part("map"));
    this.curve = new Curve(part("curve"));
    this.colors = theme();
    this.time = 0;
    this.playing = false;
    this.hovered = null;
    this.pinned = null;
    this.last = null;
    this.listen();
    this.choose(0);
  }

  // A hovered device goes before the one that was chosen.
  get chosen() { return this.hovered ?? this.pinned; }

  // How long a message stays to be seen after its end, in simulated seconds.
  get moment() { return 0.7 * this.speed; }

  choose(number) {
    this.number = number;
    this.run = load(number);
    this.time = Math.min(this.time, this.run.until);
    this.hovered = null;
    if (this.pinned !== null && this.pinned >= this.run.count) this.pinned = null;
    const [left, right, low, high] = this.run.box;
    document.querySelector(".stage").classList.toggle("flat", (right - left) > 2.2 * (high - low));
    part("run").value = String(number);
    const devices = part("device");
    devices.replaceChildren(new Option("none", ""));
    this.run.names.forEach((name, device) => devices.append(new Option(name, String(device))));
    devices.value = this.pinned === null ? "" : String(this.pinned);
    this.speeds();
    if (this.time === 0 && this.run.messages && this.run.messages.started.length) {
      const { started, ended } = this.run.messages;
      this.time = (started[0] + ended[0]) / 2;
    }
    part("run-notes").textContent = this.run.notes.join(" ");
    part("curve-head").textContent = this.run.accuracy
      ? "Accuracy, mean over devices" : "Messages so far";
    part("round-cell").hidden = this.run.rounds === null;
    this.legend();
    this.fit();
  }

  // The middle speed takes about a minute for the whole run.
  speeds() {
    const whole = this.run.until / 60 || 1;
    const power = 10 ** Math.floor(Math.log10(whole));
    const middle = [1, 2, 5, 10].find((n) => n * power >= whole * 0.999) * power;
    const offered = [0.01, 0.1, 0.25, 0.5, 1, 2, 5].map((n) => Number((n * middle).toPrecision(3)));
    const select = part("speed");
    select.replaceChildren(...offered.map((each) => new Option(`${each} s per s`, String(each))));
    this.speed = offered[4];
    select.value = String(this.speed);
  }

  legend() {
    const colors = this.colors;
    const item = (text, draw, list, tag, height) => {
      const made = document.createElement(tag), canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      draw(prepared(canvas, 26, height), height / 2);
      made.append(canvas, document.createTextNode(text));
      list.append(made);
    };
    const line = (color, dash, width) => (context, y) => {
      context.strokeStyle = color; context.lineWidth = width; context.setLineDash(dash);
      context.beginPath(); context.moveTo(1, y); context.lineTo(25, y); context.stroke();
    };
    const dot = (kind, color, radius) => (context, y) => {
      context.fillStyle = color; shape(context, kind, 13, y, radius); context.fill();
    };
    const list = part("legend");
    list.replaceChildren();
    if (this.run.messages) {
      item("on the air", (context, y) => {
        context.globalAlpha = 0.5; line(colors.accent, [], 1)(context, y);
        context.globalAlpha = 1; dot("circle", colors.accent, 2.6)(context, y);
      }, list, "li", 14);
      item("arrived", line(colors.arrived, [], 1.6), list, "li", 14);
      item("late or lost", (context, y) => {
        line(colors.missed, [5, 4], 1.6)(context, y);
        context.setLineDash([]);
        context.beginPath(); context.moveTo(10, y - 3); context.lineTo(16, y + 3);
        context.moveTo(16, y - 3); context.lineTo(10, y + 3); context.stroke();
      }, list, "li", 14);
    }
    const plain = this.run.members ? colors.soft : colors.groups[0];
    if (this.run.rounds) {
      item("training", (context, y) => {
        context.strokeStyle = plain; context.lineWidth = 1.6;
        context.beginPath(); context.arc(13, y, 6, -Math.PI / 2, Math.PI); context.stroke();
        dot("circle", plain, 2.6)(context, y);
      }, list, "li", 14);
    }
    if (this.run.members) {
      const groups = this.run.members.groups;
      for (const [n, group] of groups.slice(0, 8).entries()) {
        const { color, kind } = look(n, colors);
        item(`group ${group}`, dot(kind, color, 4.6), list, "li", 14);
      }
      if (groups.length > 8) item(`${groups.length - 8} more groups`, () => {}, list, "li", 14);
      item("in no group", dot("circle", colors.soft, 4.6), list, "li", 14);
    } else {
      item("device", dot("circle", plain, 4.6), list, "li", 14);
    }
    if (this.run.stations.length) item("base station", dot("triangle", colors.ink, 4.6), list, "li", 14);
    const names = part("curve-legend");
    names.replaceChildren();
    for (const each of this.curve.lines(this.run, this.chosen, colors)) {
      item(each.name, line(each.color, each.dash, 1.7), names, "span", 10);
    }
  }

  fit() {
    this.map.fit(this.run, part("map").parentElement.clientWidth);
    this.show();
  }

  show() {
    const { run, time, chosen, colors } = this;
    this.map.draw(run, time, this.moment, chosen, colors);
    this.curve.draw(run, time, chosen, colors);
    part("slider").value = run.until > 0 ? String(Math.round(1000 * time / run.until)) : "0";
    part("slider").setAttribute("aria-valuetext", `${time.toFixed(1)} s of ${run.until.toFixed(1)} s`);
    const digits = run.until < 20 ? 3 : run.until < 100 ? 2 : 1;
    const whole = document.createElement("small");
    whole.textContent = ` of ${run.until.toFixed(digits)} s`;
    part("now").replaceChildren(`${time.toFixed(digits)} s`, whole);
    const flying = run.messagesAt(time, 0);
    const [arrived, missed] = run.ended(time);
    const { quiet, kind, step } = run.messages ?? {};
    const ours = flying.filter(([n]) => !quiet[kind[n]]).length;
    part("flying").textContent = step > 1 ? `about ${ours * step}` : String(ours);
    part("arrived").textContent = String(arrived);
    part("missed").textContent = String(missed);
    const { round, shares } = run.training(time);
    part("round").textContent = round === null ? "–" : String(round);
    this.card(flying, shares);
  }

  card(flying, shares) {
    const card = part("card"), { run, time, chosen } = this;
    const point = chosen === null ? null : this.map.points[chosen];
    card.hidden = !point;
    if (!point) return;
    const rows = [];
    if (run.tasks[chosen]) rows.push(["Task", run.tasks[chosen].replaceAll("+", " + ")]);
    const accuracy = run.accuracyOf(chosen, time);
    if (accuracy !== null) rows.push(["Accuracy, all tasks", `${(100 * accuracy).toFixed(1)} %`]);
    const out = flying.filter(([n]) => run.messages.source[n] === chosen);
    const inward = flying.filter(([n]) => run.messages.target[n] === chosen);
    const doing = [];
    if (shares.has(chosen)) doing.push(`training, ${Math.round(100 * shares.get(chosen))} %`);
    if (out.length) doing.push(`sending ${out.length} of ${size(run.messages.size[out[0][0]])}`);
    if (inward.length) doing.push(`receiving ${inward.length}`);
    rows.push(["Now", doing.join(", ") || "waiting"]);
    if (run.members) {
      const group = run.groups(time)[chosen];
      rows.push(["Group", group < 0 ? "none" : String(run.members.groups[group])]);
    }
    const [x, y] = run.place(chosen, time);
    rows.push(["Place", `${x.toFixed(1)} m, ${y.toFixed(1)} m`]);
    rows.push(["Delivered in all", `${run.delivered[chosen]} of ${run.sent[chosen]}`]);
    const head = document.createElement("strong"), list = document.createElement("dl");
    head.textContent = `Device ${run.names[chosen]}`;
    for (const [name, text] of rows) {
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = name;
      value.textContent = text;
      list.append(term, value);
    }
    card.replaceChildren(head, list);
    const { offsetWidth: width, offsetHeight: height } = card;
    const right = point[0] + 18 + width < this.map.width;
    const left = right ? point[0] + 18 : point[0] - 18 - width;
    card.style.left = `${Math.max(4, Math.min(left, this.map.width - width - 4))}px`;
    card.style.top = `${Math.max(4, Math.min(point[1] - height / 2, this.map.height - height - 4))}px`;
  }

  seek(time) {
    this.time = Math.min(this.run.until, Math.max(0, time));
    this.show();
  }

  play(playing) {
    this.playing = playing;
    if (playing && this.time >= this.run.until) this.time = 0;
    part("play").setAttribute("aria-pressed", String(playing));
    part("play-text").textContent = playing ? "Pause" : "Play";
    part("play-icon").setAttribute("d", playing ? "M4 2.5h3v11H4zM9 2.5h3v11H9z" : "M4 2.5v11l9-5.5z");
    this.last = null;
    if (playing) requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    if (!this.playing) return;
    // A page that was hidden does not leap.
    if (this.last !== null) this.time += Math.min(0.1, (now - this.last) / 1000) * this.speed;
    this.last = now;
    if (this.time >= this.run.until) {
      this.time = this.run.until;
      this.play(false);
    }
    this.show();
    if (this.playing) requestAnimationFrame((next) => this.tick(next));
  }

  pin(device) {
    this.pinned = device;
    part("device").value = device === null ? "" : String(device);
    this.legend();
    this.show();
  }

  hover(device) {
    if (device === this.hovered) return;
    this.hovered = device;
    this.legend();
    this.show();
  }

  key(event) {
    const held = event.target.tagName;
    if (event.altKey || event.ctrlKey || event.metaKey || held === "SELECT" || held === "SUMMARY") return;
    const step = this.run.until / (event.shiftKey ? 20 : 200);
    const onMap = held === "CANVAS";
    const actions = {
      " ": () => held !== "BUTTON" && this.play(!this.playing),
      ArrowLeft: () => held !== "INPUT" && this.seek(this.time - step),
      ArrowRight: () => held !== "INPUT" && this.seek(this.time + step),
      Home: () => held !== "INPUT" && this.seek(0),
      End: () => held !== "INPUT" && this.seek(this.run.until),
      ArrowDown: () => onMap && this.pin(((this.pinned ?? -1) + 1) % this.run.count),
      ArrowUp: () => onMap && this.pin(((this.pinned ?? 0) + this.run.count - 1) % this.run.count),
      Escape: () => onMap && this.pin(null),
    };
    if (actions[event.key] && actions[event.key]() !== false) event.preventDefault();
  }

  listen() {
    const canvas = part("map"), curve = part("curve");
    const nearest = (event, reach) => {
      const box = canvas.getBoundingClientRect();
      return this.map.near(event.clientX - box.left, event.clientY - box.top, this.run.count, reach);
    };
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") this.hover(nearest(event, 18));
    });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("click", (event) => {
      const device = nearest(event, event.pointerType === "touch" ? 30 : 18);
      this.pin(device === this.pinned ? null : device);
    });
    const seek = (event) => {
      const box = curve.getBoundingClientRect();
      this.seek(this.curve.timeAt(event.clientX - box.left, this.run.until));
    };
    curve.addEventListener("pointerdown", (event) => {
      curve.setPointerCapture(event.pointerId);
      seek(event);
    });
    curve.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
    part("replay").addEventListener("keydown", (event) => this.key(event));
    part("play").addEventListener("click", () => this.play(!this.playing));
    part("slider").addEventListener("input", () => {
      this.seek(Number(part("slider").value) / 1000 * this.run.until);
    });
    part("speed").addEventListener("change", () => {
      this.speed = Number(part("speed").value);
      this.show();
    });
    part("run").addEventListener("change", () => this.choose(Number(part("run").value)));
    part("device").addEventListener("change", () => {
      this.pin(part("device").value === "" ? null : Number(part("device").value));
    });
    window.addEventListener("resize", () => this.fit());
    dark.addEventListener("change", () => {
      this.colors = theme();
      this.legend();
      this.show();
    });
  }
}

// A page kept by the browser comes back as it was; the state is there for who looks from outside.
if (part("map")) window.wnsimReplay = new Player();

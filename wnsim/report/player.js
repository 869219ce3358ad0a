
// The replay: its state, its controls, and the display of an instant.

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
    showLegend(this);
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
    showCard(this, flying, shares);
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
    showLegend(this);
    this.show();
  }

  hover(device) {
    if (device === this.hovered) return;
    this.hovered = device;
    showLegend(this);
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
      showLegend(this);
      this.show();
    });
  }
}

// A page kept by the browser comes back as it was; the state is there for who looks from outside.
if (part("map")) window.wnsimReplay = new Player();

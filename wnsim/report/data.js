
// Data of a run: positions of devices and messages on the air over time.

const AWAY = 65535;

function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  // The numbers are little-endian, as on every machine that a browser runs on today.
  return new Kind(bytes.buffer);
}

function unpackedAll(part, kinds) {
  if (part === null) return null;
  const made = { ...part };
  for (const [name, Kind] of Object.entries(kinds)) made[name] = unpacked(part[name], Kind);
  return made;
}

// How many of these ascending numbers are at most x.
function countUpTo(numbers, x) {
  let low = 0, high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] <= x) low = middle + 1; else high = middle;
  }
  return low;
}

class Run {
  constructor(data) {
    this.until = data.until;
    this.names = data.devices;
    this.tasks = data.tasks;
    this.sent = data.sent;
    this.delivered = data.delivered;
    this.stations = data.stations;
    this.box = data.box;
    this.notes = data.notes;
    this.times = unpacked(data.times, Float32Array);
    this.parts = unpacked(data.places, Uint16Array);
    const fixed = unpacked(data.stationPlaces, Uint16Array);
    this.stationPlaces = this.stations.map((_, n) => this.meters(fixed[2 * n], fixed[2 * n + 1]));
    this.messages = unpackedAll(data.messages, {
      kind: Uint8Array, source: Uint16Array, target: Uint16Array, started: Float32Array,
      ended: Float32Array, delivered: Uint8Array, size: Float32Array, arrivedBy: Uint32Array,
      missedBy: Uint32Array,
    });
    this.rounds = unpackedAll(data.rounds, {
      number: Uint32Array, device: Uint16Array, start: Float32Array, trained: Float32Array,
      end: Float32Array,
    });
    this.members = unpackedAll(data.members, { times: Float32Array, of: Uint16Array });
    this.accuracy = unpackedAll(data.accuracy, {
      times: Float32Array, rounds: Uint32Array, all: Float32Array, own: Float32Array,
      each: Uint16Array,
    });
  }

  get count() { return this.names.length; }

  meters(x, y) {
    const [left, right, low, high] = this.box;
    return [left + x / (AWAY - 1) * (right - left), low + y / (AWAY - 1) * (high - low)];
  }

  // Where a device is, null if it is not there. Who leaves the picture at one side and comes back
  // at the other one does not fly across it.
  place(device, time) {
    const after = Math.min(countUpTo(this.times, time), this.times.length - 1);
    const before = Math.max(countUpTo(this.times, time) - 1, 0);
    const a = 2 * (before * this.count + device), b = 2 * (after * this.count + device);
    const parts = this.parts;
    if (parts[a] === AWAY) return null;
    const span = this.times[after] - this.times[before];
    const jump = Math.max(Math.abs(parts[b] - parts[a]), Math.abs(parts[b + 1] - parts[a + 1]));
    if (span <= 0 || parts[b] === AWAY || jump > AWAY / 3) return this.meters(parts[a], parts[a + 1]);
    const share = Math.min(1, Math.max(0, (time - this.times[before]) / span));
    return this.meters(
      parts[a] + share * (parts[b] - parts[a]), parts[a + 1] + share * (parts[b + 1] - parts[a + 1]),
    );
  }

  // Where all nodes are: devices, base stations, and the server at the first station.
  places(time) {
    const places = this.names.map((_, device) => this.place(device, time));
    places.push(...this.stationPlaces, this.stationPlaces[0] ?? null);
    return places;
  }

  // Messages on the air, and those that have ended a moment ago: [number, share, age], age < 0
  // while on the air.
  messagesAt(time, moment) {
    const found = [];
    if (!this.messages) return found;
    const { started, ended } = this.messages;
    const begun = countUpTo(started, time);
    for (let n = 0; n < begun; n += 1) {
      const age = time - ended[n];
      if (age < moment) {
        const span = ended[n] - started[n];
        found.push([n, span > 0 ? Math.min(1, (time - started[n]) / span) : 1, age]);
      }
    }
    return found;
  }

  ended(time) {
    if (!this.messages) return [0, 0];
    const last = this.messages.arrivedBy.length - 1;
    const at = this.until > 0 ? Math.min(last, Math.floor(time / this.until * last + 1e-6)) : last;
    return [this.messages.arrivedBy[at], this.messages.missedBy[at]];
  }

  // The number of the last round that has begun, and of each device how far it is with training.
  training(time) {
    const shares = new Map();
    let round = null;
    if (!this.rounds) return { round, shares };
    const { start, trained, device, number } = this.rounds;
    const begun = countUpTo(start, time);
    for (let n = 0; n < begun; n += 1) {
      round = Math.max(round ?? 0, number[n]);
      if (time < trained[n]) shares.set(device[n], (time - start[n]) / (trained[n] - start[n]));
    }
    return { round, shares };
  }

  // Index of each device's cluster in the list of clusters, -1 without one.
  groups(time) {
    const none = this.names.map(() => -1);
    if (!this.members) return none;
    const row = countUpTo(this.members.times, time) - 1;
    if (row < 0) return none;
    return none.map((_, device) => {
      const group = this.members.of[row * this.count + device];
      return group === AWAY ? -1 : group;
    });
  }

  // Accuracy of the last evaluation: of a device, or of all.
  accuracyOf(device, time) {
    if (!this.accuracy) return null;
    const row = countUpTo(this.accuracy.times, time) - 1;
    return row < 0 ? null : this.accuracy.each[row * this.count + device] / 10000;
  }
}

const loaded = new Map();
function load(number) {
  if (!loaded.has(number)) {
    loaded.set(number, new Run(JSON.parse(document.getElementById(`replay-${number}`).textContent)));
  }
  return loaded.get(number);
}

function size(bytes) {
  const prefixes = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]];
  const [factor, unit] = prefixes.find(([least]) => bytes >= least) ?? [1, "B"];
  return `${(bytes / factor).toPrecision(3).replace(/\.0+$/, "")}\u00a0${unit}`;
}

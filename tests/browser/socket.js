// It puts the server of the page to the test, and gives the number of cases, what failed, and the extensions.
(async () => {
  let cases = 0;
  const failed = [];
  const check = (what, ok) => {
    cases++;
    if (!ok) failed.push(what);
  };
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");

  // open gives a WebSocket whose messages and end can be waited for.
  const open = (protocols = []) => new Promise((done, fail) => {
    const s = new WebSocket(url, protocols);
    s.binaryType = "arraybuffer";
    const arrived = [], waiting = [];
    s.onmessage = (e) => waiting.length ? waiting.shift()(e.data) : arrived.push(e.data);
    s.next = () => arrived.length ? Promise.resolve(arrived.shift()) : new Promise((f) => waiting.push(f));
    s.ended = new Promise((f) => { s.onclose = f; });
    s.onopen = () => done(s);
    s.onerror = () => fail(new Error("it does not open"));
  });

  const bytes = (n) => {
    const p = new Uint8Array(n);
    for (let i = 0, x = n + 1; i < n; i++) {
      x = (Math.imul(x, 1103515245) + 12345) >>> 0;
      p[i] = x >>> 16;
    }
    return p;
  };
  const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

  const s = await open();
  check("no subprotocol was asked for", s.protocol === "");
  for (const n of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
    const text = "x".repeat(Math.max(0, n - 4)) + (n > 4 ? "😀" : "y".repeat(n)); // of n bytes
    s.send(text);
    check(`text of ${n} bytes`, await s.next() === text);
    const p = bytes(n);
    s.send(p);
    const back = await s.next();
    check(`${n} bytes`, back instanceof ArrayBuffer && same(new Uint8Array(back), p));
  }
  // Many at once come back in their order.
  for (let i = 0; i < 500; i++) s.send(`${i} ${"z".repeat(i)}`);
  let order = true;
  for (let i = 0; i < 500; i++) order = await s.next() === `${i} ${"z".repeat(i)}` && order;
  check("500 messages in order", order);
  s.close();
  check("close without a code", (await s.ended).wasClean);

  for (const code of [1000, 3000, 4999]) {
    const s = await open();
    s.close(code, code === 1000 ? "" : "until tomorrow");
    const end = await s.ended;
    check(`close with ${code}`, end.wasClean && end.code === code);
  }
  const chosen = await open(["a", "b"]);
  check("the subprotocol that the server prefers", chosen.protocol === "b");
  chosen.send("close");
  const end = await chosen.ended;
  check("the server closes", end.wasClean && end.code === 4321 && end.reason === "so long");
  return { Cases: cases, Failed: failed, Extensions: s.extensions };
})()

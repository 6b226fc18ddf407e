// What TestPeers talks to: node's ws, as clients of echoes (`node peer.js client URL...`), or as an echo
// that prints its port (`node peer.js server on|off`) and ends with its standard input.
'use strict'
const assert = require('assert')
const { once } = require('events')
const { WebSocket, WebSocketServer } = require('ws')

const large = '0123456789abcdef'.repeat(1 << 16)

// client prints the extension that was agreed on.
async function client(url) {
  const ws = new WebSocket(url)
  const [[answer]] = await Promise.all([once(ws, 'upgrade'), once(ws, 'open')])
  console.log(answer.headers['sec-websocket-extensions'] || 'none')
  async function comesBack(want, ...frames) {
    const back = once(ws, 'message')
    frames.forEach((f, i) => ws.send(f, { fin: i === frames.length - 1 }))
    const [data, binary] = await back
    assert.strictEqual(binary, typeof want !== 'string')
    assert(Buffer.from(want).equals(data), 'what came back differs')
  }
  for (const text of ['', 'häß€😀', 'again and '.repeat(30), 'again and '.repeat(31), large]) await comesBack(text, text)
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * i) >> 3))
  await comesBack(bytes, bytes)
  await comesBack('in three frames', 'in ', 'three ', 'frames')
  await comesBack(large + large.slice(1), large, large.slice(1))
  const pong = once(ws, 'pong')
  ws.ping('hello')
  assert.strictEqual(String((await pong)[0]), 'hello')
  ws.close(4001, 'bye')
  assert.strictEqual((await once(ws, 'close'))[0], 4001)
}

function server(compresses) {
  const perMessageDeflate = compresses && { threshold: 0 }
  const wss = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate }, () => console.log(wss.address().port))
  wss.on('connection', (ws) => {
    ws.on('message', (data, binary) => {
      if (String(data) === 'close') return ws.close(4002, 'so long')
      const half = data.length >> 1
      ws.send(data.subarray(0, half), { binary, fin: false })
      ws.send(data.subarray(half), { binary, fin: true })
    })
  })
  process.stdin.on('end', () => process.exit()).resume()
}

async function main() {
  const [role, ...args] = process.argv.slice(2)
  if (role === 'server') return server(args[0] === 'on')
  for (const url of args) await client(url)
}

main().catch((e) => {
  console.error(e)
  process.exit(1)
})

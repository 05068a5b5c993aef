import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { portHolder } from './port-holder.ts'
import { portInUse } from './port-in-use.ts'

const undo: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0)) await act()
})

/** Listens in a separate process, with a secret in its command line. */
async function listenElsewhere(): Promise<{ pid: number; port: number }> {
  const program = `const server = require('node:net').createServer().listen(0, '127.0.0.1', () => console.log(server.address().port))
    process.stdin.on('end', () => process.exit()).resume()`
  const child = spawn(process.execPath, ['-e', program, '--', '--key', 'tf_secret'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  undo.push(async () => {
    child.stdin.end()
    await once(child, 'close')
  })
  const [port] = await once(child.stdout, 'data')
  return { pid: child.pid!, port: Number(String(port)) }
}

test.runIf(process.platform === 'linux')(
  'the process that holds a port is found, without secrets of its command',
  async () => {
    const { pid, port } = await listenElsewhere()
    expect(await portHolder(port)).toEqual({ pid, command: 'node' })
    const error = await portInUse({ host: '127.0.0.1', port }, '--port 4200')
    expect(error).toMatchObject({
      code: 'EADDRINUSE',
      message: `127.0.0.1:${port} is in use by process ${pid} (node). Stop it, or choose another port with --port 4200.`,
    })
  },
)

test('without a listener there is no holder, and the error names none', async () => {
  const server = createServer().listen(0, '::1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  expect(await portHolder(port)).toBeUndefined()
  expect((await portInUse({ host: '::1', port }, '--listen HOST:PORT')).message).toMatch(
    new RegExp(`^\\[::1\\]:${port} is in use by another process\\.`),
  )
})

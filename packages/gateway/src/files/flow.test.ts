import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { flowing } from './flow.ts'

/** Unlike `once`, also after an error. */
const closed = (stream: Readable) => new Promise<void>((resolve) => stream.once('close', resolve))

test('passes all bytes on', async () => {
  expect(await text(flowing(Readable.from([Buffer.from('ab'), Buffer.from('c')]), { bytes: 3, idleMs: 60_000 }))).toBe(
    'abc',
  )
})

test('ends with an error when the file is shorter than was announced', async () => {
  await expect(text(flowing(Readable.from([Buffer.from('ab')]), { bytes: 3, idleMs: 60_000 }))).rejects.toThrow(
    '2 of 3',
  )
})

test('closes the file when its client reads nothing for a while', async () => {
  const source = new PassThrough()
  const flow = flowing(source, { bytes: 10, idleMs: 5 })
  source.write('ab')
  const [error] = (await once(flow, 'error')) as [Error]
  expect(error.message).toContain('nothing has passed')
  if (!source.closed) await closed(source)
  expect(source.destroyed).toBe(true)
})

test('closes the file when its client leaves, and fails when the file does', async () => {
  const source = new PassThrough()
  const flow = flowing(source, { bytes: 10, idleMs: 60_000 })
  flow.destroy()
  await closed(source)
  const broken = new PassThrough()
  const other = flowing(broken, { bytes: 10, idleMs: 60_000 })
  broken.destroy(new Error('the disk'))
  expect(((await once(other, 'error')) as [Error])[0].message).toBe('the disk')
})

import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { keptSecret } from './kept-secret.ts'

let dataDir = ''
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'taskfleet-kept-secret-'))
})
afterEach(() => rm(dataDir, { recursive: true }))

test('a database keeps its secret in a file that only its owner can read', async () => {
  const made = await keptSecret(dataDir)
  expect(made).toEqual({ secret: expect.stringMatching(/^[\w-]{43}$/), secretFile: join(dataDir, 'secret') })
  expect(await readFile(made.secretFile!, 'utf8')).toBe(`${made.secret}\n`)
  if (process.platform !== 'win32') expect((await stat(made.secretFile!)).mode & 0o777).toBe(0o600)
  expect(await keptSecret(dataDir)).toEqual(made)
})

test('what others could read, or is none, is replaced', async () => {
  const { secret, secretFile } = await keptSecret(dataDir)
  await writeFile(secretFile!, '')
  const second = await keptSecret(dataDir)
  expect(second.secret).not.toBe(secret)
  if (process.platform === 'win32') return
  await chmod(secretFile!, 0o644)
  expect((await keptSecret(dataDir)).secret).not.toBe(second.secret)
  expect((await stat(secretFile!)).mode & 0o777).toBe(0o600)
})

test('a database for a moment has a secret for that moment', async () => {
  const [one, other] = [await keptSecret(undefined), await keptSecret(undefined)]
  expect(one.secretFile).toBeUndefined()
  expect(one.secret).not.toBe(other.secret)
})

import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { secretsOfTasks } from './task-secrets.ts'

test('a secret comes from the environment, else from its file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-task-secrets-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'api-key'), 'from the file\n')
  await symlink('api-key', join(folder, 'linked'))
  const env = { TASKFLEET_SECRET_API_KEY: 'from the environment', TASKFLEET_SECRET_NONE: '' }
  expect(await secretsOfTasks(folder, env)('api-key')).toBe('from the environment')
  expect(await secretsOfTasks(folder, {})('api-key')).toBe('from the file')
  expect(await secretsOfTasks(folder, {})('linked')).toBe('from the file')
  expect(await secretsOfTasks(folder, env)('none')).toBeUndefined()
  expect(await secretsOfTasks(undefined, {})('api-key')).toBeUndefined()
  const source = secretsOfTasks(folder, {})
  expect(await source('rotated')).toBeUndefined()
  await writeFile(join(folder, 'rotated'), 'one')
  expect(await source('rotated')).toBe('one')
})

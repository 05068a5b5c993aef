import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { diskId } from './disk-id.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskfleet-disk-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('hosts that share a folder find one id, also when they come at the same time', async () => {
  const ids = await Promise.all(Array.from({ length: 8 }, () => diskId(folder)))
  expect(new Set(ids).size).toBe(1)
  expect(await diskId(folder)).toBe(ids[0])
  expect(await readdir(folder)).toEqual(['.taskfleet-disk'])
})

test('each folder has an id of its own', async () => {
  const other = await mkdtemp(join(tmpdir(), 'taskfleet-disk-'))
  try {
    expect(await diskId(other)).not.toBe(await diskId(folder))
  } finally {
    await rm(other, { recursive: true })
  }
})

test('a damaged id and a missing folder give clear errors', async () => {
  await writeFile(join(folder, '.taskfleet-disk'), 'x')
  await expect(diskId(folder)).rejects.toThrow(/is no id of a disk: remove it/)
  await expect(diskId(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'NO_ROOT' })
})

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OwnFolder, writeOwnFile } from './own-folder.ts'

let home = ''
let path = ''
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'taskfleet-own-folder-'))
  path = join(home, 'downloads')
})
afterEach(() => rm(home, { recursive: true }))

const folder = (clean = false): OwnFolder => new OwnFolder(path, clean)
const refusal = { code: 'FOLDER_NOT_OURS' }

test('a folder that start made is emptied by the next start, and removed at the end', async () => {
  await folder().renew()
  await writeFile(join(path, 'large.bin'), 'x')
  await mkdir(join(path, 'sub'))
  await folder().renew()
  expect(await readdir(path)).toEqual(['EMPTIED-AT-EACH-START.txt'])
  await folder().remove()
  expect(await readdir(home)).toEqual([])
})

test('an empty folder is taken over', async () => {
  await mkdir(path)
  await folder().renew()
  expect(await readdir(path)).toHaveLength(1)
})

test("somebody else's folder stays as it is, and the error names what is in it", async () => {
  await mkdir(path)
  for (const name of ['a.txt', 'b.txt', 'c.txt', 'd.txt']) await writeFile(join(path, name), 'mine')
  const refused = folder().renew()
  await expect(refused).rejects.toMatchObject({
    ...refusal,
    message: `${path} holds a.txt, b.txt, c.txt, 1 more, which \`start\` did not make. Choose another place with --folder, or remove it with --clean.`,
  })
  await folder().remove()
  expect(await readdir(path)).toHaveLength(4)
})

test('a file that only has the name of the mark is no mark', async () => {
  await mkdir(path)
  await writeFile(join(path, 'EMPTIED-AT-EACH-START.txt'), 'notes')
  await expect(folder().check()).rejects.toMatchObject(refusal)
})

test('a file or a link in its place is refused, and what a link leads to is never touched', async () => {
  const elsewhere = join(home, 'elsewhere')
  await new OwnFolder(elsewhere, false).renew()
  await writeFile(join(elsewhere, 'kept'), 'x')
  await symlink(elsewhere, path)
  await expect(folder().renew()).rejects.toMatchObject(refusal)
  await folder(true).renew()
  expect(await readdir(elsewhere)).toContain('kept')
  await rm(path, { recursive: true })
  await writeFile(path, 'a file')
  await expect(folder().renew()).rejects.toMatchObject(refusal)
})

test('with clean, whatever is in it is removed', async () => {
  await mkdir(path)
  await writeFile(join(path, 'mine.txt'), 'x')
  await folder(true).renew()
  expect(await readdir(path)).toEqual(['EMPTIED-AT-EACH-START.txt'])
})

test('a file is replaced only where an earlier start wrote it', async () => {
  const file = join(home, 'key')
  const isOurs = (text: string): boolean => text.startsWith('tf_')
  await writeOwnFile(file, 'tf_1', isOurs)
  await writeOwnFile(file, 'tf_2', isOurs)
  await writeFile(file, 'my own key')
  await expect(writeOwnFile(file, 'tf_3', isOurs)).rejects.toMatchObject(refusal)
  expect(await readFile(file, 'utf8')).toBe('my own key')
})

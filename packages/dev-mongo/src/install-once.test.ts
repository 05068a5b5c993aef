import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { installOnce } from './install-once.ts'

const repository = fileURLToPath(new URL('../../../', import.meta.url))
let root = ''
let cache = ''
const folder = () => join(cache, 'thing-1.0')
const record = () => join(root, 'record')

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'taskfleet-test-'))
  cache = join(root, 'cache')
  await writeFile(record(), '')
})

afterEach(() => rm(root, { recursive: true }))

/** A process that installs: it notes each installation, says what it does, and finishes `at once` or when it is told to. */
function installer(finish: 'at once' | 'when told') {
  const program = `
    import { access, appendFile, mkdir, writeFile } from 'node:fs/promises'
    import { once } from 'node:events'
    import { installOnce } from ${JSON.stringify(new URL('./install-once.ts', import.meta.url).href)}
    await installOnce({
      folder: ${JSON.stringify(folder())},
      usable: (folder) => access(folder + '/done').then(() => true, () => false),
      onWait: () => console.log('waiting'),
      async install(folder) {
        await appendFile(${JSON.stringify(record())}, 'installed\\n')
        await mkdir(folder)
        await writeFile(folder + '/half', '')
        console.log('installing')
        if (${JSON.stringify(finish)} !== 'at once') await once(process.stdin, 'data')
        await writeFile(folder + '/done', '')
      },
    })
    console.log('finished')
    process.exit(0)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    cwd: repository,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })
  const said: string[] = []
  lines.on('line', (line) => said.push(line))
  return {
    child,
    async says(word: string) {
      while (!said.includes(word)) await once(lines, 'line')
    },
  }
}

const installations = async () => (await readFile(record(), 'utf8')).trim().split('\n').length

test('of two processes that ask at the same time, one installs and the other waits for it', async () => {
  const first = installer('when told')
  await first.says('installing')
  const second = installer('at once')
  await second.says('waiting')
  first.child.stdin.write('go on')
  await Promise.all([first.says('finished'), second.says('finished')])
  expect(await installations()).toBe(1)
  expect(await readdir(cache)).toEqual(['thing-1.0'])
}, 30_000)

test('an installer killed halfway leaves nothing that is used, and the one that waited takes over', async () => {
  const first = installer('when told')
  await first.says('installing')
  const second = installer('at once')
  await second.says('waiting')
  first.child.kill('SIGKILL')
  await second.says('finished')
  expect(await installations()).toBe(2)
  expect(await readdir(cache)).toEqual(['thing-1.0'])
}, 30_000)

test('a failed installation is told to its caller and can be tried again', async () => {
  const usable = async (place: string) => (await readdir(place).catch((): string[] => [])).includes('done')
  const failing = async (place: string): Promise<void> => {
    await mkdir(place)
    throw new Error('no network')
  }
  await expect(installOnce({ folder: folder(), usable, install: failing })).rejects.toThrow('no network')
  expect(await readdir(cache)).toEqual([])
  const install = async (place: string) => {
    await mkdir(place)
    await writeFile(join(place, 'done'), '')
  }
  await installOnce({ folder: folder(), usable, install })
  expect(await readdir(folder())).toEqual(['done'])
})

test('what no longer works is installed anew', async () => {
  await mkdir(folder(), { recursive: true })
  await writeFile(join(folder(), 'old'), '')
  const usable = async (place: string) => (await readdir(place).catch((): string[] => [])).includes('done')
  const install = async (place: string) => {
    await mkdir(place)
    await writeFile(join(place, 'done'), '')
  }
  await installOnce({ folder: folder(), usable, install })
  expect(await readdir(folder())).toEqual(['done'])
})

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = await readFile(join(root, 'README.md'), 'utf8')
const operations = await readFile(join(root, 'docs/operations.md'), 'utf8')

interface Block {
  language: string
  text: string
}

const blocksOf = (text: string): Block[] =>
  [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({ language, text: code }))

/** The programs that README and operations.md show: a block belongs to the file that its first line names. */
function programs(): Map<string, string> {
  const files = new Map<string, string>()
  for (const { language, text } of blocksOf(readme + operations)) {
    const name = language === 'tsx' ? 'examples/page/src/readme.tsx' : /^\/\/ (\w+\.ts)\b/.exec(text)?.[1]
    if (language !== 'ts' && language !== 'tsx') continue
    if (name === undefined) throw new Error(`The first line of this block names no file:\n${text}`)
    const path = join(root, name)
    files.set(path, (files.get(path) ?? '') + text)
  }
  return files
}

test('the programs of README and operations.md compile', () => {
  const files = programs()
  const { config } = ts.readConfigFile(join(root, 'tsconfig.tests.json'), ts.sys.readFile)
  const { options: ours } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  // With the types that are published: those of the sources take three times as long to read.
  const options = { ...ours, customConditions: [] }
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile: read, getSourceFile } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.readFile = (path) => files.get(path) ?? read(path)
  host.getSourceFile = (path, target, ...rest) => {
    const text = files.get(path)
    return text === undefined ? getSourceFile(path, target, ...rest) : ts.createSourceFile(path, text, target)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  const found = [...files.keys()].flatMap((path) => {
    const source = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  })
  expect([...files.keys()].map((path) => path.slice(root.length))).toContain('tasks.ts')
  expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
}, 120_000)

describe('"Write a task" of README', () => {
  let clone: string
  const children: ChildProcess[] = []

  /** In the clone, as a process group of its own. */
  function run(command: string, args: readonly string[]): { child: ChildProcess; lines: string[] } {
    const child = spawn(command, args, {
      cwd: clone,
      env: { ...process.env, TASKFLEET_MONGO_URI: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    children.push(child)
    const lines: string[] = []
    for (const output of [child.stdout, child.stderr]) {
      createInterface({ input: output }).on('line', (line) => void lines.push(line))
    }
    return { child, lines }
  }

  async function said(pattern: RegExp, { child, lines }: ReturnType<typeof run>): Promise<void> {
    const ended = once(child, 'close').then(() => {
      throw new Error(`it ended first:\n${lines.join('\n')}`)
    })
    while (!lines.some((line) => pattern.test(line))) await Promise.race([once(child.stdout!, 'data'), ended])
    ended.catch(() => undefined)
  }

  beforeAll(async () => {
    // Within the repository, so that imports resolve as they do in its root.
    await mkdir(join(root, '.taskfleet'), { recursive: true })
    clone = await mkdtemp(join(root, '.taskfleet', 'readme-'))
    for (const file of ['README.md', 'LICENSE']) await copyFile(join(root, file), join(clone, file))
  })

  afterAll(async () => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      process.kill(-child.pid!, 'SIGTERM')
      await once(child, 'close')
    }
    await rm(clone, { recursive: true, force: true })
  })

  test('works as printed: a worker takes the task on the database that start uses, and a watcher sees it end', async () => {
    const section = /^## Write a task\n([\s\S]*?)^## /m.exec(readme)![1]!
    const blocks = blocksOf(section)
    const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      scripts: { taskfleet: string }
    }
    // What pnpm would run, from the folder that stands for the clone.
    const taskfleet = scripts.taskfleet.replace(/(packages\/\S+)/, join(root, '$1'))
    const shell = blocks
      .filter(({ language }) => language === 'sh')
      .map(({ text }) => text.replaceAll('npx --yes pnpm@12 taskfleet', taskfleet))
    expect(shell).toHaveLength(2)
    await writeFile(join(clone, 'tasks.ts'), blocks[0]!.text)
    const main = join(root, 'examples/downloads/dist/main.js')
    await said(/Monitor: /, run(process.execPath, [main, '--port', '0', '--hosts', '1', '--scale', '0.01']))
    await said(/"listening"/, run('bash', ['-euc', shell[0]!]))
    const watched = run('bash', ['-euc', shell[1]!])
    const [code] = await once(watched.child, 'close')
    expect(watched.lines.at(-1)).toMatch(/completed .*digest/)
    expect(code).toBe(0)
  }, 300_000)
})

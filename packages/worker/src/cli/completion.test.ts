import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { taskFactory } from '@taskfleet/core/testing'
import { describe, expect, test } from 'vitest'
import { startGateway } from '../testing/test-sockets.ts'
import { useCli } from './test-cli.ts'

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

describe('shell completion', () => {
  const { fleet, here } = useCli()

  const complete = async (...words: string[]): Promise<string[]> => {
    const { code, out, err } = await here('__complete', '--', ...words)
    expect([code, err]).toEqual([0, ''])
    return out.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0]!]))
  }

  test('offers commands and flags from the tree of commands', async () => {
    expect(await complete('re')).toEqual(['resume', 'retry', 'replay', 'reprioritise', 'retention'])
    expect(await complete('')).not.toContain('__complete')
    expect(await complete('queues', '')).toEqual(['list', 'pause', 'resume', 'limit', 'rate', 'depth', 'help'])
    expect(await complete('list', '--st')).toEqual(['--status'])
    expect(await complete('events', '--fo')).toEqual(['--follow'])
    expect(await complete('events', 'post', '--sch')).toEqual(['--scheduled-for'])
    expect(await complete('list', '--log-level', 'si')).toEqual(['silent'])
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish'])
    expect(await complete('errors', '--state', '')).toEqual(['open', 'resolved', 'ignored'])
    expect(await complete('worker', '--tasks', '')).toEqual([])
  })

  test('offers what is in the fleet, on its database and through a gateway', async () => {
    const make = taskFactory(fleet.fleet.store)
    const task = await make.pending({ queue: 'mail' })
    await fleet.fleet.queues.setPaused('a$(id)', true, 'test')
    await fleet.fleet.queues.setPaused('a b', true, 'test')
    await fleet.fleet.queues.setPaused('music', true, 'test')
    await fleet.runner({ queue: 'x', name: 'north' })
    await fleet.runner({ queue: 'x', name: 'n;id' })
    const id = task._id.toHexString()
    const url = (await startGateway(fleet)).url!
    for (const there of [[], ['--server', url]]) {
      expect(await complete('show', ...there, id.slice(0, 20))).toContain(id)
      expect(await complete('cancel', id, ...there, id.slice(0, 20))).toContain(id)
      expect(await complete('queues', 'pause', ...there, 'm')).toEqual(['mail', 'music'])
      expect(await complete('queues', 'pause', ...there, 'a')).toEqual([])
      expect(await complete('drain', ...there, 'n')).toEqual(['north'])
    }
    expect(await complete('list', '--status', 'pending,r')).toEqual(['pending,running'])
    expect(await complete('events', '--status', 'f')).toEqual(['finished', 'failed'])
    expect(await complete('worker', '--queues', 'mail,m')).toEqual(['mail,music'])
    expect(await complete('show', '--server', 'http://127.0.0.1:1', '')).toEqual([])
    expect(await complete('show', '--mongo', 'nonsense', '')).toEqual([])
  })

  test('the script for bash works in bash', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-completion-'))
    fleet.cleanup(() => rm(folder, { recursive: true }))
    const command = join(folder, 'taskfleet')
    await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`)
    await chmod(command, 0o755)
    const script = `eval "$(taskfleet completion bash)"
      try() { COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}; _taskfleet; echo "\${COMPREPLY[*]}"; }
      try taskfleet rep
      try taskfleet list --sta`
    const { stdout, stderr } = await promisify(execFile)('bash', ['--noprofile', '--norc', '-c', script], {
      env: { ...process.env, NODE_OPTIONS: '', PATH: `${folder}${delimiter}${process.env.PATH}` },
    })
    expect([stdout, stderr]).toEqual(['replay reprioritise\n--status\n', ''])
    for (const shell of ['zsh', 'fish']) {
      expect(await here('completion', shell)).toMatchObject({ code: 0, out: expect.stringContaining('__complete --') })
    }
    expect(await here('completion', 'cmd')).toMatchObject({ code: 2 })
  })
})

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { MAIN } from '@taskfleet/testkit/fleet/command'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'

const main = MAIN

describe('shell completion', () => {
  const { fleet, here } = useCli()

  const complete = async (...words: string[]): Promise<string[]> => {
    const { code, out, err } = await here('__complete', '--', ...words)
    expect([code, err]).toEqual([0, ''])
    return out.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0]!]))
  }

  test('offers commands and flags from the tree of commands', async () => {
    expect(await complete('re')).toEqual(['resume', 'retry', 'replay', 'reprioritise', 'retention', 'remove'])
    expect(await complete('')).not.toContain('__complete')
    expect(await complete('queues', '')).toEqual(['list', 'pause', 'resume', 'limit', 'rate', 'depth', 'help'])
    expect(await complete('list', '--st')).toEqual(['--status'])
    expect(await complete('events', '--fo')).toEqual(['--follow'])
    expect(await complete('events', 'post', '--sch')).toEqual(['--scheduled-for'])
    expect(await complete('list', '--log-level', 'si')).toEqual(['silent'])
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish'])
    expect(await complete('errors', '--state', '')).toEqual(['open', 'resolved', 'ignored'])
    expect(await complete('worker', '--tasks', '')).toEqual([])
    expect(await complete('worker', '--signing', '')).toEqual(['off', 'warn', 'required'])
  })

  test('offers names in the fleet, from its database and through a gateway', async () => {
    const make = taskFactory(fleet.fleet.store)
    const task = await make.pending({ queue: 'mail' })
    await fleet.fleet.queues.setPaused('a$(id)', true, 'test')
    await fleet.fleet.queues.setPaused('a b', true, 'test')
    await fleet.fleet.queues.setPaused('music', true, 'test')
    await fleet.runner({ queue: 'x', name: 'north' })
    await fleet.runner({ queue: 'x', name: 'n;id' })
    const id = task._id.toHexString()
    const events = fleet.fleet.eventsFor()
    const callback = (await events.createCallback({ event: 'Late', task: 'x' }))._id
    const event = (await events.post({ name: 'Late', scheduledFor: '2099-01-01' }))._id
    const boss = await fleet.fleet.keysFor().create({ name: 'boss', scopes: ['admin'] })
    fleet.cleanup(() => fleet.database.db.collection('keys').deleteMany({}))
    const url = (await startGateway(fleet)).url!
    for (const there of [[], ['--server', url, '--key', boss.token]]) {
      expect(await complete('events', 'cancel', ...there, event.slice(0, 20))).toContain(event)
      expect(await complete('callbacks', 'edit', ...there, callback.slice(0, 20))).toContain(callback)
      expect(await complete('keys', 'revoke', ...there, boss.id.slice(0, 5))).toEqual([boss.id])
      expect(await complete('events', 'show', ...there, id)).toEqual([])
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

  /** A folder with the command as it is installed, and its environment. */
  const installed = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-completion-'))
    fleet.cleanup(() => rm(folder, { recursive: true }))
    const command = join(folder, 'taskfleet')
    await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`)
    await chmod(command, 0o755)
    const path = `${folder}${delimiter}${process.env.PATH}`
    return { folder, env: { ...process.env, NODE_OPTIONS: '', HOME: folder, XDG_CONFIG_HOME: folder, PATH: path } }
  }

  const isInstalled = (shell: string): boolean =>
    process.env.PATH!.split(delimiter).some((place) => existsSync(join(place, shell)))

  /** A shell of its own, with nothing of the user's. */
  const runIn = async (shell: string, args: string[], env: object, cwd: string): Promise<string> => {
    const { stdout, stderr } = await promisify(execFile)(shell, args, { env: env as NodeJS.ProcessEnv, cwd })
    expect(stderr).toBe('')
    return stdout
  }

  test('the script for bash works in bash', async () => {
    const { folder, env } = await installed()
    const script = `eval "$(taskfleet completion bash)"
      try() { COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}; _taskfleet; echo "\${COMPREPLY[*]}"; }
      try taskfleet rep
      try taskfleet list --sta`
    const said = await runIn('bash', ['--noprofile', '--norc', '-c', script], env, folder)
    expect(said).toBe('replay reprioritise\n--status\n')
    expect(await here('completion', 'cmd')).toMatchObject({ code: 2 })
  })

  test('the script for fish works in fish', async ({ skip }) => {
    if (!isInstalled('fish')) skip('fish is not installed here')
    const { folder, env } = await installed()
    await writeFile(join(folder, 'some-tasks.ts'), '')
    const script = `taskfleet completion fish | source
      for line in 'rep' 'list --sta' 'worker --tasks some' 'list --ta' '--ta' 'list --log-level si' 'show --key-file some'
        complete -C "taskfleet $line" | cut -f 1
        echo .
      end`
    const said = await runIn('fish', ['--no-config', '-c', script], env, folder)
    expect(said.split('.\n').map((words) => words.trim().replaceAll('\n', ' '))).toEqual([
      'replay reprioritise',
      '--status',
      'some-tasks.ts',
      '',
      '',
      'silent',
      'some-tasks.ts',
      '',
    ])
  })

  test('the script for zsh works in zsh', async ({ skip }) => {
    if (!isInstalled('zsh')) skip('zsh is not installed here')
    const { folder, env } = await installed()
    await writeFile(join(folder, 'some-tasks.ts'), '')
    // Completion belongs to the line editor: a second zsh has a terminal, and is read until it has printed the expected text.
    const script = `zmodload zsh/zpty
      zpty inner zsh -f -i
      expect() { local said; while zpty -r inner said "*$1*"; do print -r -- "found $1"; return; done }
      zpty -w inner "PS1=; autoload -Uz compinit; compinit -u -D; eval \\"\\$(taskfleet completion zsh)\\"; print RE''ADY"
      expect READY
      try() { zpty -w -n inner "taskfleet $1"$'\\t'; expect "$2"; zpty -w -n inner $'\\x15'; }
      try 'retent' 'taskfleet retention'
      try 'rep' 'replay  -- make new tasks'
      try 'list --sta' 'list --status'
      try 'list --log-level si' '--log-level silent'
      try 'worker --tasks some' '--tasks some-tasks.ts'
      zpty -d inner`
    const said = await runIn('zsh', ['-f', '-c', script], env, folder)
    expect(said.trim().split('\n')).toEqual([
      'found READY',
      'found taskfleet retention',
      'found replay  -- make new tasks',
      'found list --status',
      'found --log-level silent',
      'found --tasks some-tasks.ts',
    ])
  }, 30_000)
})

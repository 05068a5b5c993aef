import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newSecret, parseSecrets } from '@taskfleet/core/internal'
import type { TicketAnswer } from '@taskfleet/protocol'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { asked, connect, LOOPBACK, open, refusal } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let place = ''
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'taskfleet-secret-'))
})
afterAll(() => rm(place, { recursive: true }))

const [ONE, TWO] = [newSecret(), newSecret()]

async function file(name: string, text: string, mode = 0o600): Promise<string> {
  const path = join(place, name)
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

describe('the secret of a fleet', () => {
  const { fleet, start, ended, ready, here } = useCli()
  interface Finding {
    check: string
    ok: boolean
    detail: string
  }
  const doctor = async (env: Record<string, string> = {}, ...args: string[]) => {
    const { code, out, err } = await ended(start(['doctor', '--json', ...args], env))
    return { code, err, ...(JSON.parse(out) as Finding[]).find(({ check }) => check === 'secret') }
  }

  test('is created by a command', async () => {
    const { code, out } = await here('secret')
    expect([code, parseSecrets(out)]).toEqual([0, [out.trim()]])
  })

  test('comes from a file, the environment or the config file, and is in use at once', async () => {
    const path = await file('secret', `${ONE}\n${TWO}\n`)
    const config = await file('taskfleet.json', '{"secretFile":"secret"}')
    const gateway = ['gateway', '--listen', '127.0.0.1:0']
    const children = [
      start([...gateway, '--secret-file', path], { TASKFLEET_SECRET: newSecret() }),
      start([...gateway, '--config', config]),
      start([...gateway, '--config', config], { TASKFLEET_SECRET: ONE }),
    ]
    const said: string[] = []
    for (const child of children) child.stderr!.on('data', (chunk) => said.push(String(chunk)))
    await Promise.all(children.map(ready))
    expect(await doctor({ TASKFLEET_SECRET: ONE })).toMatchObject({
      code: 0,
      ok: true,
      detail: 'the same at all 3 processes that sign',
    })
    expect(await doctor({ TASKFLEET_SECRET: newSecret() })).toMatchObject({
      code: 3,
      ok: false,
      detail: expect.stringContaining('this computer refuses what'),
    })
    expect(said.join('')).not.toMatch(/WEAK_SECRET/)
    for (const secret of [ONE, TWO]) expect(said.join('')).not.toContain(secret)
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(children.map(ended))
  })

  test('that is invalid keeps a process from starting, with a code', async () => {
    const gateway = ['gateway', '--listen', '127.0.0.1:0']
    const refused: [string[], number, RegExp][] = [
      [['--secret-file', await file('short', 'hunter2')], 3, /7 bytes.*BAD_SECRET\)/],
      [['--secret-file', await file('empty', '\n')], 3, /is empty.*BAD_SECRET_FILE/],
      [['--secret-file', await file('open', ONE, 0o644)], 3, /chmod 600.*new secret.*BAD_SECRET_FILE/],
      [['--secret-file', join(place, 'none')], 3, /does not exist.*taskfleet secret.*BAD_SECRET_FILE/],
      [['--secret', ONE], 2, /Every user of this computer can read a secret.*BAD_REQUEST/],
      [['--config', await file('open.json', `{"secret":"${ONE}"}`, 0o644)], 3, /read the secret: chmod 600/],
      [['--config', await file('both.json', `{"secret":"${ONE}","secretFile":"x"}`)], 3, /both given/],
    ]
    for (const [args, code, message] of refused) {
      const run = await here(...gateway, ...args)
      expect([args, run.code, run.err]).toEqual([args, code, expect.stringMatching(message)])
      expect(run.err).not.toMatch(/hunter2/)
    }
  })

  test('that differs makes tickets fail, and doctor names the processes that differ', async () => {
    const runner = (name: string, secret?: string) =>
      fleet.runner({ queue: name, name, listen: LOOPBACK, secret, heartbeatMs: 100 })
    const [one, two] = [await runner('one', ONE), await runner('two', TWO)]
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue: 'two' })
    await fleet.runsAt(two, task)
    const socket = await connect(fleet, one.url!)
    const { publicUrl, relayUrl, token } = await eventually(async () => {
      const answer = await asked<TicketAnswer>(socket, 'taskTicket', { id: task._id.toHexString() })
      return answer.publicUrl !== undefined && { ...answer, publicUrl: answer.publicUrl }
    })
    for (const address of [publicUrl, relayUrl]) {
      const error = await refusal(open(address, token))
      expect([error?.data, error?.message]).toEqual([
        { code: 'SECRET_MISMATCH' },
        expect.stringContaining('TASKFLEET_SECRET'),
      ])
    }
    const mismatch = {
      code: 3,
      ok: false,
      detail: expect.stringMatching(/^SECRET_MISMATCH: two refuses what one signs, one refuses what two signs: /),
    }
    expect(await doctor()).toMatchObject(mismatch)
    expect(await doctor({ TASKFLEET_MONGO_URI: '' }, '--server', one.url!)).toMatchObject(mismatch)
    await two.stop({ grace: 0 })
    const both = await runner('both', `${ONE},${TWO}`)
    expect(await doctor()).toMatchObject({ ok: true, detail: 'the same at all 2 processes that sign' })
    await Promise.all([one.stop({ grace: 0 }), both.stop({ grace: 0 })])
    await runner('weak')
    const weak = { code: 0, ok: true, detail: expect.stringMatching(/^WEAK_SECRET: /) }
    expect(await doctor()).toMatchObject(weak)
    const rows = await fleet.fleet.workers.list()
    expect(JSON.stringify(rows)).not.toMatch(new RegExp(`${ONE}|${TWO}`))
  })
})

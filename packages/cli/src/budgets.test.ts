import type { EnqueueRequest, TaskRow } from '@taskfleet/protocol'
import { callerOf, makeKey } from '@taskfleet/testkit/fleet/rest-calls'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { describe, expect, test } from 'vitest'

const DAY_MS = 86_400_000
const asked: Omit<EnqueueRequest, 'name'> = {
  retry: { maxAttempts: 9, counts: 'without-progress', backoff: { kind: 'fixed', base: '5s' } },
  timeout: '40d',
  totalTimeout: '400d',
  stall: '2m',
}
const stored = {
  maxAttempts: 9,
  retry: { counts: 'without-progress', backoff: { base: 5_000, factor: 1 } },
  ...{ timeout: 40 * DAY_MS, totalTimeout: 400 * DAY_MS, stall: 120_000 },
}
const ODD = ['0', '-5s', 'soon', '1e400', 'NaN', 'Infinity', '9999999999d', '5 s']

describe("a task's own budget", () => {
  const { fleet, here, json } = useCli()

  test('is set, changed and removed on the command line', async () => {
    const id = (
      await here(
        ...['enqueue', 'budgeted', '--retry', JSON.stringify(asked.retry), '--timeout', String(asked.timeout)],
        ...['--total-timeout', String(asked.totalTimeout), '--stall', String(asked.stall)],
      )
    ).out.trim()
    expect(await json<TaskRow>('show', id)).toMatchObject(stored)
    const edited = await here('edit', id, '--stall', '5m', '--timeout', 'none', '--retry', 'none')
    expect(edited.code, edited.err).toBe(0)
    const now = await json<TaskRow>('show', id)
    expect(now).toMatchObject({ stall: 300_000, totalTimeout: 400 * DAY_MS })
    for (const field of ['retry', 'timeout']) expect(now).not.toHaveProperty(field)
  })

  test.each(ODD)('is refused on the command line when it is %s', async (text) => {
    for (const option of ['--timeout', '--total-timeout', '--stall']) {
      const { code, err } = await here('enqueue', 'budgeted', option, text)
      expect(code, `${option} ${text}: ${err}`).toBe(2)
    }
  })

  test('is set, changed and rejected over REST and the socket', async () => {
    const token = await makeKey(fleet, { scopes: ['read', 'write', 'control'] })
    const gateway = await startGateway(fleet)
    const { call } = callerOf(gateway, token)
    const { status, body } = await call('POST', '/tasks', { name: 'budgeted', ...asked })
    expect(status).toBe(201)
    const { _id } = body as unknown as TaskRow
    expect(body).toMatchObject(stored)
    const changed = await call('PATCH', `/tasks/${_id}`, { retry: null, timeout: null, stall: 7 })
    expect(changed.body).toMatchObject({ stall: 7, totalTimeout: 400 * DAY_MS })
    expect(changed.body).not.toHaveProperty('retry')
    for (const text of ['1e400', '-1', '0', '"soon"', 'true', '1e18', '[]']) {
      for (const field of ['timeout', 'totalTimeout', 'stall']) {
        const refused = await call('POST', '/tasks', `{"name":"budgeted","${field}":${text}}`)
        expect([refused.status, refused.body.code, refused.body.field], `${field} ${text}`).toEqual([
          ...[400, 'OUT_OF_RANGE', field],
        ])
      }
    }
    const client = fleet.client(gateway.url!, { token })
    expect(await client.enqueue({ name: 'budgeted', ...asked })).toMatchObject(stored)
    await expect(client.enqueue({ name: 'budgeted', stall: '0s' })).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
    expect(await client.edit({ id: _id, changes: { stall: null } })).not.toHaveProperty('stall')
  })
})

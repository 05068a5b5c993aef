import { type RestRoute, route } from '../route.ts'
import { pruned, pruneRequest, retention, retentionChanges } from '../schemas/fleet.ts'

const CHECKED = ['BAD_VALUE', 'UNKNOWN_FIELD', 'BAD_JSON', 'BAD_STRING']

/** How long the past is kept. */
export function upkeepRoutes(): RestRoute[] {
  return [
    route({
      method: 'GET',
      url: '/retention',
      scope: 'read',
      tag: 'upkeep',
      summary: 'How long ended tasks are kept, in milliseconds; null for ever',
      answers: { 200: retention },
      handle: async ({ fleet }) => fleet.retention.show(),
    }),
    route({
      method: 'PATCH',
      url: '/retention',
      scope: 'admin',
      tag: 'upkeep',
      summary: 'Change it, for tasks that end from now on',
      body: retentionChanges,
      answers: { 200: retention },
      codes: [...CHECKED, 'OUT_OF_RANGE'],
      handle: async ({ fleet, body }) => fleet.retention.set(body as never),
    }),
    route({
      method: 'POST',
      url: '/prune',
      scope: 'admin',
      tag: 'upkeep',
      summary: 'Remove ended tasks and their log lines for good',
      description:
        'Answers when it is done, which may take minutes; it goes on when nobody waits for it, and may be repeated.',
      body: pruneRequest,
      answers: { 200: pruned },
      codes: CHECKED,
      handle: async ({ fleet, body }) => fleet.retention.prune(body as never),
    }),
  ]
}

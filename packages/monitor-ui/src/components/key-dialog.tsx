import { type KeyRow, OPERATIONS, type Scope } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useMemo } from 'react'
import type { z } from 'zod'
import { partOf, RequestForm, request } from '../form/request-form.tsx'

export interface MadeKey {
  name: string
  token: string
}

/** What each scope allows. A new scope does not compile until it has an entry. */
const SCOPES: Record<Scope, string> = {
  read: 'see tasks, hosts and events',
  write: 'enqueue tasks and send events',
  control: 'cancel, pause, retry, drain',
  worker: 'be a worker',
  admin: 'everything, keys included',
}

const TITLES = { new: 'Make a key', first: 'Make the first key' }
const SCOPES_AT_FIRST = { new: ['read'], first: ['read', 'write', 'control', 'admin'] }
const LIST = { placeholder: 'all', hint: 'Separated by commas' }

export function KeyDialog({
  of,
  onMade,
  onChanged,
  onClose,
}: {
  /** The key to edit, a new key, or the first key of a fleet, which locks it. */
  of: KeyRow | 'new' | 'first'
  onMade: (made: MadeKey) => void
  onChanged: () => void
  onClose: () => void
}) {
  const client = useFleetClient()
  const isNew = typeof of === 'string'
  const schemas = useMemo(() => {
    const now = () => Date.now() + client.clockOffset
    return {
      new: withRules(OPERATIONS.keys.create.request, now),
      first: withRules(OPERATIONS.keys.create.request, now, true),
      edit: withRules(partOf(OPERATIONS.keys.edit, 'changes'), now),
    }
  }, [client])
  const asked = isNew
    ? request(schemas[of], async (wanted) => {
        const { token } = await client.keys.create(wanted)
        onMade({ name: wanted.name, token })
        onChanged()
        return `Made the key ${wanted.name}`
      })
    : request(schemas.edit, async (changes) => {
        await client.keys.edit({ id: of.id, changes })
        onChanged()
        return `Changed the key ${changes.name ?? of.name}`
      })
  return (
    <RequestForm
      title={isNew ? TITLES[of] : 'Edit this key'}
      action={isNew ? 'Make the key' : 'Save'}
      request={asked}
      value={isNew ? { scopes: SCOPES_AT_FIRST[of] } : of}
      edits={!isNew}
      places={{
        name: { hint: 'Who or what uses it', span: 6 },
        scopes: { words: SCOPES },
        queues: LIST,
        names: LIST,
        expiresAt: { label: 'Expires', hint: 'Never if empty', span: 6 },
      }}
      {...(!isNew && {
        note: 'Takes effect at once. Connections that the key opened with other rights are closed within a second, and may reconnect.',
      })}
      onClose={onClose}
    >
      {of === 'first' && (
        <p className="rounded-md bg-warn/15 px-3 py-2 text-warn sm:col-span-6">
          The first key locks the fleet: from then on everybody needs a key, on this computer too. This page continues
          with the new key.
        </p>
      )}
    </RequestForm>
  )
}

/**
 * The schema with rules against mistakes that the gateway accepts.
 *
 * @param now the server's time in milliseconds
 */
function withRules<Request>(schema: z.ZodType<Request>, now: () => number, isFirst = false): z.ZodType<Request> {
  const object = schema as z.ZodType as z.ZodObject<Record<'scopes' | 'queues' | 'names' | 'expiresAt', z.ZodType>>
  const { scopes, queues, names, expiresAt } = object.shape
  const future = expiresAt.refine(
    (at) => typeof at !== 'string' || Date.parse(at) > now(),
    'This is in the past. To end a key at once, revoke it',
  )
  const unlimited = 'The first key can’t be limited: it could not make another'
  const first = {
    scopes: scopes.refine((given) => (given as Scope[]).includes('admin'), 'The first key needs admin to make others'),
    queues: queues.refine((given) => given === undefined, unlimited),
    names: names.refine((given) => given === undefined, unlimited),
  }
  return object.safeExtend({ expiresAt: future, ...(isFirst && first) }) as z.ZodType as z.ZodType<Request>
}

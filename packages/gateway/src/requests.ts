import type {
  CommandRequest,
  EditRequest,
  ErrorState,
  FleetControl,
  ReplayRequest,
  ReprioritiseRequest,
} from '@taskfleet/protocol'
import { z } from 'zod'

/**
 * What messages look like. Only their outer shape: filters, ids and changes are for the core to check, which knows every
 * key; a schema that drops one would widen a selection.
 */
const selection = {
  id: z.unknown().optional(),
  ids: z.unknown().optional(),
  filter: z.unknown().optional(),
  dryRun: z.boolean().optional(),
  reason: z.string().max(500).optional(),
}
const id = z.unknown()
const limit = z.int().min(1).max(10_000).optional()
const attempt = z.int().min(1)

/** Checked as far as its shape goes; the core checks the rest. */
const shape = <Request>(schema: z.ZodType): z.ZodType<Request> => schema as z.ZodType<Request>

export const commandRequest = shape<CommandRequest>(z.strictObject(selection))
export const replayRequest = shape<ReplayRequest>(z.strictObject({ ...selection, input: z.unknown().optional() }))
export const reprioritiseRequest = shape<ReprioritiseRequest>(
  z.strictObject({ ...selection, priority: z.unknown().optional(), position: z.unknown().optional() }),
)
export const editRequest = shape<EditRequest>(
  z.strictObject({ id, rev: z.unknown().optional(), changes: z.unknown(), reason: selection.reason }),
)
export const taskRequest = shape<{ id: string }>(z.strictObject({ id }))
export const emptyRequest = z.strictObject({})
export const taskLogRequest = shape<Parameters<FleetControl['taskLog']>[0]>(
  z.strictObject({
    id,
    attempt: attempt.optional(),
    before: z.strictObject({ attempt, seq: z.int().min(1) }).optional(),
    limit,
  }),
)
export const auditRequest = shape<{ id?: string; limit?: number }>(z.strictObject({ id: id.optional(), limit }))
export const markErrorRequest = shape<{ fingerprint: string; state: ErrorState; until?: string }>(
  z.strictObject({
    fingerprint: z.string().min(1).max(64),
    state: z.enum(['open', 'resolved', 'ignored']),
    until: z.string().max(40).optional(),
  }),
)
export const controlWorkerRequest = z.strictObject({
  worker: z.string().min(1).max(64),
  action: z.enum(['drain', 'resume']),
})
export const controlQueueRequest = shape<Parameters<FleetControl['controlQueue']>[0]>(
  z.strictObject({ queue: z.string(), action: z.enum(['pause', 'resume']), reason: selection.reason }),
)

import type { QueryRequest } from '@taskfleet/protocol'

/** The fields of a row in a list, without the large ones. */
export const LIST_FIELDS: string[] = [
  'name',
  'title',
  'labels',
  'version',
  'status',
  'queue',
  'priority',
  'basePriority',
  'runAt',
  'attempt',
  'failures',
  'lost',
  'maxAttempts',
  'worker',
  'host',
  'publicUrl',
  'control',
  'progress',
  'error',
  'rev',
  'createdAt',
  'claimedAt',
  'startedAt',
  'finishedAt',
  'updatedAt',
  'deadline',
  'raiseAt',
  'deadlineMissedAt',
]

export const WORKERS = { collection: 'workers', sort: { name: 1 }, limit: 200 } as const satisfies QueryRequest

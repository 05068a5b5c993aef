import { shapes } from '@taskfleet/protocol/internal'
import { z } from 'zod'
import type { FileDoor } from '../../files/file-door.ts'
import { type RestRoute, route } from '../route.ts'

const bytes = z.string().meta({ format: 'binary' })

/** The files that completed tasks have left on the disks of their workers. */
export const fileRoute = ({ files }: { files: FileDoor }): RestRoute =>
  route({
    method: 'GET',
    url: '/files/:id',
    scope: 'read',
    tag: 'tasks',
    summary: 'The file of a completed task, from the host that has it',
    description:
      'Also with HEAD. One range of bytes by `Range`, with `If-Range`; `If-None-Match` gets 304. A client that takes no byte for a minute is disconnected, and can go on with a range.',
    params: z.object({ id: shapes.hexId }),
    checkedByCore: true,
    media: 'application/octet-stream',
    answers: { 200: bytes, 206: bytes, 304: null },
    codes: [
      ...['BAD_ID', 'NOT_FOUND', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED', 'NOT_COMPLETED', 'NO_FILE', 'HOST_AWAY'],
      ...['RANGE_NOT_SATISFIABLE', 'TOO_MANY_CONNECTIONS'],
    ],
    handle: ({ principal, params, request, reply }) => files.answer(principal, params.id!, request, reply),
  })

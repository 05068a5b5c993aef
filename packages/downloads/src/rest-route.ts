import { parsePriority, parseQueue, requireScope } from '@taskfleet/core/internal'
import { type DownloadWish, downloadInput, type TaskReader } from '@taskfleet/download-contract'
import type { ExtraRoutes } from '@taskfleet/gateway'
import type { RestRoute } from '@taskfleet/gateway/internal'
import { FleetError, type Priority, STATUSES } from '@taskfleet/protocol'
import { z } from 'zod'
import {
  checkListed,
  enqueueDownloads,
  type ListedDownload,
  readAddressList,
  readMetalink,
  requireFew,
} from './lists.ts'

const LIST = 'text/plain'
const METALINKS = ['application/metalink4+xml', 'application/metalink+xml']
/** In bytes; the same as for a list of tasks. */
const BODY_LIMIT = 8 * 1024 * 1024

const wish = {
  queue: z.string().optional().describe('The queue of the tasks; `default` by default'),
  priority: z
    .union([z.int(), z.string()])
    .optional()
    .describe('1 to 10, `low`, `medium` or `high`; `medium` by default'),
  again: z.boolean().optional().describe('Also store what is there already, waiting, running or completed'),
}
const body = z
  .strictObject({ downloads: z.array(downloadInput).min(1).max(10_000), ...wish })
  .meta({ id: 'NewDownloads', title: 'Downloads to store' })
/** Of a list, whose body has only the downloads. */
const query = z.strictObject({
  queue: wish.queue,
  priority: z.string().optional(),
  again: z.enum(['true', 'false']).optional(),
  folder: z
    .string()
    .optional()
    .describe('The folder of downloads that name none; the names of a Metalink document are below it'),
})
const answer = z.object({
  downloads: z.array(
    z.object({
      id: z
        .string()
        .optional()
        .describe('Absent if another request has just stored it, and the key may not read tasks'),
      title: z.string(),
      status: z.enum(STATUSES).optional(),
      fresh: z.boolean().describe('Whether this request has stored it'),
      served: z.literal(false).optional().describe('No live worker downloads in this queue yet'),
    }),
  ),
})

/**
 * `POST /downloads` for a gateway's option `routes`: stores a task for each download, as `taskfleet download` does.
 *
 * @example `createGateway({ fleet, routes: downloadRoutes })`
 */
export const downloadRoutes: ExtraRoutes = async () => [route as unknown as RestRoute]

const route: RestRoute<z.infer<typeof query>, unknown> = {
  method: 'POST',
  url: '/downloads',
  scope: 'write',
  tag: 'tasks',
  summary: 'Store a task for each download, unless its queue has one with the same address and destination',
  description: `The body is JSON, a list of addresses (\`${LIST}\`, as \`taskfleet download -i\` takes it) or a Metalink document (\`${METALINKS[0]}\`). The query is for lists and documents.`,
  query,
  body,
  text: [LIST, ...METALINKS],
  checkedByCore: true,
  bodyLimit: BODY_LIMIT,
  answers: { 201: answer, 200: answer },
  codes: [
    ...['BAD_INPUT', 'BAD_QUEUE', 'OUT_OF_RANGE', 'BAD_JSON', 'INPUT_INVALID', 'INPUT_TOO_LARGE', 'TOO_MANY_TASKS'],
    ...[
      'QUEUE_NOT_ALLOWED',
      'NAME_NOT_ALLOWED',
      'QUEUE_FULL',
      'KEY_EXISTS',
      'UNSUPPORTED_MEDIA_TYPE',
      'REQUEST_TIMEOUT',
    ],
  ],
  handle: async ({ principal, fleet, body: sent, query: asked, request, reply }) => {
    const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
    const { downloads, wish } =
      typeof sent === 'string' ? await fromText(sent, type, parsed(query, asked)) : fromJson(sent, parsed(query, asked))
    requireFew(downloads)
    const reader: TaskReader = {
      rows: async ({ collection: _, ...wanted }) => {
        requireScope(principal, 'read')
        return (await fleet.tasks.list(wanted)).tasks
      },
    }
    const stored = await enqueueDownloads(fleet, reader, downloads, wish)
    void reply.code(stored.some(({ fresh }) => fresh) ? 201 : 200)
    return { downloads: stored }
  },
}

type Asked = { downloads: ListedDownload[]; wish: DownloadWish }

/** @throws {FleetError} `BAD_REQUEST`, `BAD_INPUT`, `BAD_QUEUE`, `OUT_OF_RANGE` */
function fromJson(sent: unknown, asked: z.infer<typeof query>): Asked {
  if (Object.keys(asked).length > 0)
    throw new FleetError('BAD_REQUEST', 'The query is for lists; a JSON body has queue, priority and again itself')
  if (Array.isArray((sent as { downloads?: unknown } | null)?.downloads))
    requireFew((sent as { downloads: [] }).downloads)
  const { downloads, queue, priority, again } = parsed(body, sent)
  return {
    downloads: downloads.map((input, index) => checkListed({ input, where: `downloads.${index}` })),
    wish: wishOf(queue, priority as Priority | undefined, again),
  }
}

/** @throws {FleetError} `BAD_REQUEST`, `BAD_INPUT`, `BAD_QUEUE`, `OUT_OF_RANGE` */
async function fromText(
  text: string,
  type: string,
  { queue, priority, again, folder }: z.infer<typeof query>,
): Promise<Asked> {
  const listed = METALINKS.includes(type) ? await readMetalink(text, 'body', folder) : readAddressList(text, 'body')
  if (listed.length === 0) throw new FleetError('BAD_REQUEST', 'The body names no download')
  const downloads = listed.map(({ input, where }) =>
    checkListed({ input: folder === undefined ? input : { folder, ...input }, where }),
  )
  const number = priority !== undefined && /^\d{1,2}$/.test(priority) ? Number(priority) : priority
  return { downloads, wish: wishOf(queue, number as Priority | undefined, again === 'true') }
}

const wishOf = (queue = 'default', priority: Priority = 'medium', again = false): DownloadWish => ({
  queue: parseQueue(queue),
  priority: parsePriority(priority),
  again,
})

/** @throws {FleetError} `BAD_REQUEST` with the path in `field`; addresses, which may hold secrets, are never repeated */
function parsed<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const { data, error } = schema.safeParse(value ?? {})
  if (error === undefined) return data as z.infer<Schema>
  const [issue] = error.issues
  const field = issue?.path.join('.')
  throw new FleetError('BAD_REQUEST', issue?.message ?? 'This does not fit the schema', field ? { field } : {})
}

import { declareTask, type TaskContract } from '@taskfleet/protocol'
import { z } from 'zod'
import { nameFromUrl } from './file-name.ts'
import { isTemplate } from './name-template.ts'

/** What a download task is asked for. Codes for bad values come from the handler, so that every one has its own. */
export const downloadInput = z.strictObject({
  url: z
    .string()
    .min(1)
    .max(8192)
    .describe('http: or https:; a user name and password in it are sent as basic authorization'),
  mirrors: z
    .array(z.string().max(8192))
    .max(50)
    .optional()
    .describe('Other addresses of the same file, tried in this order when one fails'),
  file: z
    .string()
    .optional()
    .describe(
      "The file's name; by default the server's, made safe. It may have the fields `{name}` and `{ext}` (the parts of the server's name), " +
        '`{host}`, `{date}` and `{id}` (of the task)',
    ),
  folder: z
    .string()
    .max(1024)
    .optional()
    .describe('A folder below the root, such as `films/2026`, which is made where it is missing'),
  sha256: z.string().optional().describe('64 hexadecimal digits that the file must have'),
  checksum: z
    .string()
    .max(200)
    .optional()
    .describe('Another checksum, such as `sha-512:…`, `sha-1:…` or `md5:…`, in hex or base64'),
  size: z.int().nonnegative().optional().describe('Bytes that the file must have'),
  expect: z
    .enum(['skip', 'rename', 'overwrite'])
    .optional()
    .describe(
      'What to do with a file of this name. A file with the right checksum always counts as downloaded. `skip`: any file of the right size ' +
        'does too; `rename`: the download gets a number in its name; `overwrite`: it replaces a regular file',
    ),
  overwrite: z.boolean().optional().describe("The same as `expect: 'overwrite'`, for older programs"),
  maxBytes: z
    .int()
    .nonnegative()
    .optional()
    .describe("Stops above this many bytes; the handler's own limit holds as well"),
  connections: z
    .int()
    .min(1)
    .max(16)
    .optional()
    .describe(
      "Connections at the same time, 8 by default, where more than one bring more; the handler's own limit holds as well",
    ),
  headers: z
    .record(z.string(), z.string())
    .optional()
    .describe("Sent to the URL's own origin, never to another one that it redirects to"),
  proxy: z
    .string()
    .max(2048)
    .optional()
    .describe("An http: or https: proxy, instead of the worker's; `direct` for none"),
  after: z
    .strictObject({
      checksumFile: z.boolean().optional().describe('Writes `<file>.sha256` beside the file, as `sha256sum` does'),
      webhook: z
        .string()
        .max(8192)
        .optional()
        .describe('An http: or https: address to which the output is posted, signed as other webhooks of the fleet'),
    })
    .optional()
    .describe('What is done once the file is there and verified'),
})

export type DownloadInput = z.infer<typeof downloadInput>

/** How many attempts in a row may bring nothing. */
export const DOWNLOAD_ATTEMPTS = 10

/** The task `download` without its handler: a producer that enqueues it loads neither an HTTP client nor a worker. */
export const downloadContract: TaskContract<typeof downloadInput> = declareTask({
  name: 'download',
  version: 1,
  input: downloadInput,
  title: ({ url, file }): string => (file === undefined || isTemplate(file) ? nameFromUrl(new URL(url)) : file),
  labels: ({ url }) => ({ origin: new URL(url).host }),
})

export interface DownloadOutput {
  /** The file's path under the root: its folder, if it has one, and its name, with `/` between them. */
  file: string
  bytes: number
  /** Lower-case hex, of the bytes as they were written. */
  sha256: string
  /** Body bytes that this attempt received; 0 for a file that was there already. */
  fetchedBytes: number
  /** How long this attempt took. */
  seconds: number
  /** Bytes that this attempt found on disk and did not fetch again. */
  resumedFrom: number
}

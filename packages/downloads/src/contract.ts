import type { LookupFunction } from 'node:net'
import type { Duration } from '@taskfleet/protocol'
import { z } from 'zod'
import type { OriginLimit } from './origin-limits.ts'

export {
  DOWNLOAD_ATTEMPTS,
  type DownloadInput,
  type DownloadOutput,
  downloadContract,
  downloadInput,
} from '@taskfleet/download-contract'

export interface DownloadOptions {
  /** An existing, writable folder, on this host's disk or shared by several hosts. */
  root: string
  /** Whether all workers that download have the same disk at `root`: then any of them sends the files (`GET /files/:id`). */
  sharedRoot?: boolean
  /** Lets downloads dial private and loopback addresses. Link-local ones, where clouds keep credentials, stay refused. */
  allowPrivate?: boolean
  /** Addresses that are refused in any case, `address` or `address:port`: the database, this worker's own socket. */
  blockedAddresses?: readonly string[]
  maxBytes?: number
  /** Without a byte for this long, an attempt fails with `STALLED`. */
  stallMs?: number
  /** Below this rate over a whole `stallMs` in which nothing here kept the server waiting, an attempt fails with `TOO_SLOW`. */
  minBytesPerSecond?: number
  connectTimeoutMs?: number
  /**
   * Connections of a download at the same time, at most: 8 by default, and 16 where a task asks for them. The first one is alone as long as it is fast;
   * there are more when a server gives each of them little, and only where they bring more. To one origin, all downloads of this process together have
   * no more than that beside their first ones.
   */
  connections?: number
  /**
   * How much all downloads of this process together may ask of their servers, by host and time of day. Each rule that fits holds. A download that finds no
   * connection free waits in its queue (`ORIGIN_FULL`), which costs no attempt and no slot. `minBytesPerSecond` must be less than such a rate.
   */
  limits?: readonly OriginLimit[]
  /** Keeps what a cancelled download had. */
  keepPartial?: boolean
  /** Bytes of the disk that downloads never fill; by default a hundredth of it, at most 1 GiB. */
  keepFreeBytes?: number
  /** Part files that nobody has written to for this long are removed, 30 days by default. Their tasks would begin anew. */
  keepPartsMs?: number
  /**
   * How long a download that waits again, for instance after its worker was killed, waits for a worker with the same `root`, which can go
   * on with its bytes: two minutes by default, an hour at most. Then any worker begins it anew.
   */
  waitForDisk?: Duration
  /** Starts writing back to the disk whenever this much is new, so that the last `fsync` is short. */
  flushBytes?: number
  /** Another task's lock on a destination counts as left behind when it was not renewed for this long. */
  lockStaleMs?: number
  /** Signs webhooks of `after`; by default `TASKFLEET_WEBHOOK_SECRET` of the environment. Empty for no signature. */
  webhookSecret?: string
  /** Certificates to trust besides Node's own. */
  ca?: string
  /**
   * The proxy of downloads that name none: an http: or https: URL, or false for no proxy. By default the one of the environment
   * (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in capitals or not), which is read for each request. Behind a proxy, names are resolved by the
   * proxy, so only addresses in URLs are checked here.
   */
  proxy?: string | false
  /** Name resolution, `dns.lookup` by default. */
  lookup?: LookupFunction
}

/** Kept across attempts and hosts. It describes the bytes in `part`, so it is stored before the first of them is written. */
export const downloadState = z.object({
  /** A digest of the URL, which itself may hold a secret. */
  source: z.string(),
  file: z.string(),
  /** The lease under which the part file was written: with `file` and the task's id it gives the part's name. */
  part: z.string().regex(/^[\w-]{1,48}$/),
  /** A strong validator of these bytes. Without this one and the next they can't be added to, unless a checksum is given. */
  etag: z.string().optional(),
  /** `Last-Modified`, where it is a strong validator. */
  lastModified: z.string().optional(),
  weakEtag: z.string().optional(),
  /** What the server said of the whole file: `Repr-Digest` or `Digest`. */
  digest: z.partialRecord(z.enum(['sha256', 'sha512', 'sha1', 'md5']), z.string()).optional(),
  total: z.number().optional(),
  /** How many bytes the part begins with; after `ahead` was stored for the first time, its length says nothing of that any more. */
  bytes: z.number(),
  /** What it has behind them: where each span begins and ends, in order. */
  ahead: z.array(z.int().nonnegative()).optional(),
  /** The most bytes that any attempt had. */
  most: z.number().optional(),
  /** How often in a row bytes were thrown away without getting further than `most`. */
  restarts: z.number().optional(),
  /** Set when all bytes were verified and the file was about to get its name. */
  sha256: z.string().optional(),
})

export type DownloadState = z.infer<typeof downloadState>

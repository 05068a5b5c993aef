import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetClient } from '@taskfleet/client'
import type { FileServer } from '@taskfleet/downloads/file-server'
import { hasEnded, type TaskRow } from '@taskfleet/protocol'

const MIB = 1024 * 1024
/** How many of them run at the same time. */
const AT_A_TIME = 3
const LOOK_MS = 2_000
/** By name: how many MiB, and how many seconds they take. The same names again and again, so that the disk does not fill. */
const FILES: Record<string, { mib: number; seconds: number }> = {
  'nightly-backup.tar': { mib: 480, seconds: 150 },
  'map-tiles.mbtiles': { mib: 220, seconds: 95 },
  'podcast-archive.zip': { mib: 130, seconds: 70 },
  'model-weights.bin': { mib: 700, seconds: 210 },
  'survey-photos.tgz': { mib: 310, seconds: 120 },
}
const LABEL = { demo: 'goes-on' }

export interface KeepMovingOptions {
  client: FleetClient
  files: FileServer
  /** Whether somebody looks. */
  watched: () => Promise<boolean>
  scale: number
  /** How often it looks, in milliseconds. */
  everyMs?: number
  signal: AbortSignal
}

/** Downloads one file after the other while somebody looks, until the signal. */
export async function keepMoving({
  client,
  files,
  watched,
  scale,
  everyMs = LOOK_MS,
  signal,
}: KeepMovingOptions): Promise<void> {
  const names = Object.keys(FILES)
  await Promise.all(names.map((file, n) => files.put(file, { size: size(file, scale), seed: 100 + n })))
  const open = new Set<string>()
  let next = 0
  const subscription = await client.subscribe(
    {
      filter: { name: 'download', 'labels.demo': LABEL.demo, status: { $in: ['pending', 'running', 'paused'] } },
      limit: 50,
    },
    (rows: readonly TaskRow[]) => {
      open.clear()
      for (const row of rows) if (!hasEnded(row.status)) open.add(String(row.title))
    },
  )
  while (!signal.aborted) {
    // An error here, for instance because the gateway restarts, must not end the demonstration.
    if (open.size < AT_A_TIME && (await watched().catch(() => false))) {
      const file = names[next++ % names.length]!
      if (!open.has(file)) await post(file).catch(() => undefined)
    }
    await sleep(everyMs, undefined, { signal }).catch(() => undefined)
  }
  await subscription.close().catch(() => undefined)

  async function post(file: string): Promise<void> {
    const rate = Math.round(size(file, scale) / FILES[file]!.seconds)
    const labels = { ...LABEL, origin: new URL(files.url).host }
    const input = { url: `${files.url}/${file}?rate=${rate}`, file, expect: 'overwrite' }
    await client.enqueue({ name: 'download', input, title: file, labels })
    open.add(file)
  }
}

const size = (file: string, scale: number): number => Math.max(MIB, Math.round(FILES[file]!.mib * MIB * scale))

/** Whether a gateway has clients beside `start` itself. @param token none where the fleet has no keys */
export async function isWatched(gateway: string, token?: string): Promise<boolean> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const answer = await fetch(new URL('/metrics', gateway), { headers })
  if (!answer.ok) throw new Error(`the gateway's metrics can't be read: ${answer.status}`)
  const [, connections] = /^taskfleet_gateway_connections(?:\{[^}]*\})? (\d+)/m.exec(await answer.text()) ?? []
  return Number(connections ?? 0) > 1
}

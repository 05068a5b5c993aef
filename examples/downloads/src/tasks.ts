import { checkRoot, downloadDefinition } from '@taskfleet/downloads'
import type { Duration } from '@taskfleet/protocol'
import { defineTask } from '@taskfleet/worker'

/**
 * What a worker of the main job can run: `taskfleet worker --tasks examples/downloads/dist/tasks.js`. The folder is
 * `DOWNLOAD_ROOT`; addresses of this computer and of private networks are refused unless `DOWNLOAD_PRIVATE` is 1, and
 * those in `DOWNLOAD_BLOCKED` always are. `DOWNLOAD_WAIT` is how long a download waits for a worker with the folder that has its bytes.
 */
const root = process.env.DOWNLOAD_ROOT ?? 'downloads'
await checkRoot(root)

export const download = defineTask(
  downloadDefinition({
    root,
    allowPrivate: process.env.DOWNLOAD_PRIVATE === '1',
    ...(process.env.DOWNLOAD_WAIT === undefined ? {} : { waitForDisk: process.env.DOWNLOAD_WAIT as Duration }),
    blockedAddresses: (process.env.DOWNLOAD_BLOCKED ?? '').split(',').filter((address) => address !== ''),
  }),
)

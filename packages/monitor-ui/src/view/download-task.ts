import type { WorkerRow } from '@taskfleet/protocol'

/** The handler whose tasks are downloads. */
export const DOWNLOAD = 'download'

export const servesDownloads = ({ tasks }: Pick<WorkerRow, 'tasks'>): boolean =>
  tasks.some((task) => task.startsWith(`${DOWNLOAD}@`))

import { firstSafeName, lastOfPath } from '@taskfleet/download-contract/internal'
import { dispositionName } from './disposition.ts'

/** A name from what a server says of itself, made safe: `Content-Disposition`, else the last part of the URL's path. */
export const nameFromServer = (disposition: string | undefined, url: URL): string =>
  firstSafeName([dispositionName(disposition), lastOfPath(url)])

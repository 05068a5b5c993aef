export {
  checkRoot,
  createDownload,
  type DownloadInput,
  type DownloadOptions,
  type DownloadOutput,
  downloadDefinition,
  downloadInput,
} from '@taskfleet/downloads'
export { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'

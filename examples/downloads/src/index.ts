export {
  checkRoot,
  createDownload,
  type DownloadInput,
  type DownloadOptions,
  type DownloadOutput,
  downloadDefinition,
  downloadInput,
} from './download/index.ts'
export { type FileServer, startFileServer } from './file-server/index.ts'

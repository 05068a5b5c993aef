export {
  type AddressList,
  addHeader,
  type BadLine,
  type ListedDownload,
  parseAddressList,
  readAddressList,
} from './address-list.ts'
export { checkDownloadInput, checkListed, requireFew } from './check-input.ts'
export {
  DOWNLOAD_ATTEMPTS,
  type DownloadInput,
  type DownloadOutput,
  downloadContract,
  downloadInput,
} from './contract.ts'
export { type DownloadWish, enqueueDownloads, type StoredDownload, type TaskReader } from './enqueue.ts'

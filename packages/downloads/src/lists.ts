export {
  type AddressList,
  addHeader,
  type BadLine,
  checkDownloadInput,
  checkListed,
  type DownloadWish,
  enqueueDownloads,
  type ListedDownload,
  parseAddressList,
  readAddressList,
  requireFew,
  type StoredDownload,
  type TaskReader,
} from '@taskfleet/download-contract'
export { readMetalink } from './metalink.ts'

export {
  type AddressList,
  addHeader,
  type BadLine,
  checkDownloadInput,
  type DownloadWish,
  enqueueDownloads,
  type ListedDownload,
  parseAddressList,
  readAddressList,
  type StoredDownload,
  type TaskReader,
} from '@taskfleet/download-contract'

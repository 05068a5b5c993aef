export { heartbeatAge, type WorkerView, workerView } from '@taskfleet/react/internal'

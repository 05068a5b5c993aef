import { lazyRouteComponent } from '@tanstack/react-router'
import { type ComponentType, Suspense } from 'react'

/** Dialogs, and what else the first page does without. Those with forms need the schemas of all requests. */
const DIALOGS = {
  bulk: lazyRouteComponent(() => import('../components/bulk-dialog.tsx'), 'BulkDialog'),
  callback: lazyRouteComponent(() => import('../components/callback-dialog.tsx'), 'CallbackDialog'),
  edit: lazyRouteComponent(() => import('../components/edit-dialog.tsx'), 'EditDialog'),
  key: lazyRouteComponent(() => import('../components/key-dialog.tsx'), 'KeyDialog'),
  keyForm: lazyRouteComponent(() => import('./key-form.tsx'), 'KeyForm'),
  newTask: lazyRouteComponent(() => import('../components/new-task-dialog.tsx'), 'NewTaskDialog'),
  notifications: lazyRouteComponent(() => import('./notifications.tsx'), 'Notifications'),
  palette: lazyRouteComponent(() => import('./palette.tsx'), 'Palette'),
  preferences: lazyRouteComponent(() => import('./preferences.tsx'), 'PreferencesDialog'),
  queueLimits: lazyRouteComponent(() => import('../components/queue-limits-dialog.tsx'), 'QueueLimitsDialog'),
  range: lazyRouteComponent(() => import('./range-dialog.tsx'), 'RangeDialog'),
  replay: lazyRouteComponent(() => import('../components/replay-dialog.tsx'), 'ReplayDialog'),
  schedule: lazyRouteComponent(() => import('../components/schedule-dialog.tsx'), 'ScheduleDialog'),
  sendEvent: lazyRouteComponent(() => import('../components/send-event-dialog.tsx'), 'SendEventDialog'),
  setAside: lazyRouteComponent(() => import('../components/set-aside-line.tsx'), 'SetAsideLine'),
  shortcuts: lazyRouteComponent(() => import('./shortcuts-dialog.tsx'), 'ShortcutsDialog'),
  wallBar: lazyRouteComponent(() => import('./wall-bar.tsx'), 'WallBar'),
}

export async function loadDialogs(): Promise<void> {
  await Promise.all(Object.values(DIALOGS).map((dialog) => dialog.preload?.()))
}

/** The page stays as it is while a dialog is loaded. */
const overPage = <Props extends object>(Loaded: ComponentType<Props>) =>
  function OverPage(props: Props) {
    return (
      <Suspense>
        <Loaded {...props} />
      </Suspense>
    )
  }

export const BulkDialog = overPage(DIALOGS.bulk)
export const CallbackDialog = overPage(DIALOGS.callback)
export const EditDialog = overPage(DIALOGS.edit)
export const KeyDialog = overPage(DIALOGS.key)
export const KeyForm = overPage(DIALOGS.keyForm)
export const NewTaskDialog = overPage(DIALOGS.newTask)
export const Notifications = overPage(DIALOGS.notifications)
export const Palette = overPage(DIALOGS.palette)
export const PreferencesDialog = overPage(DIALOGS.preferences)
export const QueueLimitsDialog = overPage(DIALOGS.queueLimits)
export const RangeDialog = overPage(DIALOGS.range)
export const ReplayDialog = overPage(DIALOGS.replay)
export const ScheduleDialog = overPage(DIALOGS.schedule)
export const SendEventDialog = overPage(DIALOGS.sendEvent)
export const SetAsideLine = overPage(DIALOGS.setAside)
export const ShortcutsDialog = overPage(DIALOGS.shortcuts)
export const WallBar = overPage(DIALOGS.wallBar)

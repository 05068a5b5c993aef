/** Whether this browser may notify; `impossible` where it can't, for example over plain http. */
export type NotifyPermission = NotificationPermission | 'impossible'

export function notifyPermission(): NotifyPermission {
  return typeof Notification === 'undefined' ? 'impossible' : Notification.permission
}

/** Asks the user, unless it is decided. */
export async function askToNotify(): Promise<NotifyPermission> {
  const permission = notifyPermission()
  return permission === 'default' ? Notification.requestPermission() : permission
}

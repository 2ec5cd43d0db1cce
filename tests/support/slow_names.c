/* Stands in for functions of the C library that look up names, in a program that is started with this
 * in LD_PRELOAD. Names that end with ".test", and 192.0.2.1, are looked up slowly: a call lasts until
 * the program opens the gate. Everything else is the C library's own business.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_CALLS 1000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int is_open;
static int calls;
static char names[MOST_CALLS][80];
static long threads[MOST_CALLS];

/* In a child that is forked amid lookups nobody has the lock, and nobody waits. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void in_parent(void) { pthread_mutex_unlock(&lock); }
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&changed, NULL);
}

__attribute__((constructor)) static void prepare(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* For the program, by ctypes. */
int slow_calls(void) { return calls; }
const char *slow_name(int call) { return names[call]; }
long slow_thread(int call) { return threads[call]; }

void slow_open(int open)
{
    pthread_mutex_lock(&lock);
    is_open = open;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int is_slow(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    return length > 5 && strcmp(name + length - 5, ".test") == 0;
}

static void look_up(const char *name)
{
    pthread_mutex_lock(&lock);
    if (calls < MOST_CALLS) {
        snprintf(names[calls], sizeof names[calls], "%s", name);
        threads[calls] = syscall(SYS_gettid);
        calls++;
    }
    while (!is_open)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (!is_slow(host))
        return real(host, service, hints, found);
    look_up(host);
    if (strncmp(host, "missing", 7) == 0)
        return EAI_NONAME;
    return real(strncmp(host, "local", 5) == 0 ? "127.0.0.1" : "192.0.2.1", service, hints, found);
}

int getnameinfo(const struct sockaddr *address, socklen_t length, char *host, socklen_t host_size,
                char *service, socklen_t service_size, int flags)
{
    int (*real)(const struct sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t, int) =
        dlsym(RTLD_NEXT, "getnameinfo");
    int status = real(address, length, host, host_size, service, service_size, flags | NI_NUMERICHOST);
    if (status || flags & NI_NUMERICHOST || strcmp(host, "192.0.2.1"))
        return real(address, length, host, host_size, service, service_size, flags);
    look_up(host);
    snprintf(host, host_size, "host.test");
    return 0;
}

int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **found, int *error)
{
    int (*real)(const char *, struct hostent *, char *, size_t, struct hostent **, int *) =
        dlsym(RTLD_NEXT, "gethostbyname_r");
    if (!is_slow(name))
        return real(name, entry, buffer, size, found, error);
    look_up(name);
    return real("192.0.2.1", entry, buffer, size, found, error);
}

int gethostbyaddr_r(const void *address, socklen_t length, int family, struct hostent *entry,
                    char *buffer, size_t size, struct hostent **found, int *error)
{
    int (*real)(const void *, socklen_t, int, struct hostent *, char *, size_t, struct hostent **,
                int *) = dlsym(RTLD_NEXT, "gethostbyaddr_r");
    if (family != AF_INET || *(const in_addr_t *)address != inet_addr("192.0.2.1"))
        return real(address, length, family, entry, buffer, size, found, error);
    look_up("192.0.2.1");
    return gethostbyname_r("192.0.2.1", entry, buffer, size, found, error);
}

from django.core.management.base import BaseCommand

from posts.models import Comment, Post

POSTS, COMMENTS_A_POST = 200, 5


class Command(BaseCommand):
    help = "Fills the blog with posts and comments; those that were there are gone"

    def handle(self, *args, **options):
        Post.objects.all().delete()
        posts = Post.objects.bulk_create(
            Post(title=f"Post {number}", body="A sentence of the post. " * 40) for number in range(1, POSTS + 1)
        )
        Comment.objects.bulk_create(
            Comment(post=post, author=f"reader {number}", text="I read this with care.")
            for post in posts
            for number in range(COMMENTS_A_POST)
        )
